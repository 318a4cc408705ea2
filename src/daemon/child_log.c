#include "daemon/child_log.h"

#include "base/log.h"

static struct {
    void (*on_lost)(void *owner, const char *name, const char *words);
    void *owner;
} observer;

void child_log_observe(void (*on_lost)(void *owner, const char *name, const char *words),
                       void *owner)
{
    observer.on_lost = on_lost;
    observer.owner = owner;
}

void child_log_lost(const char *name, const char *words)
{
    if (observer.on_lost != NULL)
        observer.on_lost(observer.owner, name, words);
}

void child_log_event(const struct child *child, enum child_event event, const char *name,
                     const char *words)
{
    bool is_new = event == CHILD_KILLED || (event == CHILD_ENDED && !child_ended_well(child) &&
                                            !child_was_killed(child));

    if (!is_new)
        return;
    log_line(LOG_WARN, "%s process %s", name, words);
    child_log_lost(name, words);
}
