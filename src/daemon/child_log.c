#include "daemon/child_log.h"

#include <stdint.h>
#include <sys/wait.h>

#include "base/log.h"
#include "proc/child.h"

static void log_status(void *owner, int wait_status)
{
    const char *name = owner;
    char words[CHILD_MAX_WORDS_BYTES];

    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        return;
    child_put_status(wait_status, words);
    log_line(LOG_WARN, "%s process %s", name, words);
}

void child_log_watch(const struct process *p, const char *name)
{
    process_watch(p, log_status, (void *)(uintptr_t)name);
}

void child_log_let_go(struct process *p)
{
    process_close(p);
    *p = (struct process){0};
}

void child_log_kill(const struct process *p, const char *name, const char *why)
{
    log_line(LOG_WARN, "%s process killed: %s", name, why);
    process_watch(p, NULL, NULL);
    process_signal_kill(p);
}

void child_log_end(struct process *p)
{
    process_watch(p, NULL, NULL);
    process_kill(p);
}
