#include "daemon/lease_process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"

enum { MAX_STAT_BYTES = 4096, MAX_HOST = 64 };

static void read_proc_text(const char *path, char out[LEASE_TEXT])
{
    struct buf text = {0};

    out[0] = '\0';
    if (fs_read_file(path, LEASE_TEXT - 1, &text, ERR_IGNORED) == 0)
        snprintf(out, LEASE_TEXT, "%.*s",
                 STR_ARG(str_slice(buf_str(&text), 0, str_find(buf_str(&text), '\n'))));
    buf_free(&text);
}

/* "pid:[4026531836]"; "" where the kernel has no such namespaces. */
static void read_namespace(const char *path, char out[LEASE_TEXT])
{
    ssize_t n = readlink(path, out, LEASE_TEXT - 1);

    out[n < 0 ? 0 : n] = '\0';
}

static void read_surroundings(struct lease_record *self)
{
    read_proc_text("/proc/sys/kernel/random/boot_id", self->boot);
    read_namespace("/proc/self/ns/pid", self->pid_namespace);
    read_namespace("/proc/self/ns/time", self->time_namespace);
}

struct process_stat {
    char state;      /* proc(5): R, S, D, Z, T, t, X, …; 0: not to be seen */
    int64_t started; /* field 22: clock ticks after boot; 0: not known */
};

/* Fields are counted behind the name, which may hold anything. */
static struct process_stat read_process_stat(int64_t pid)
{
    char path[64], *at;
    struct buf text = {0};
    struct process_stat result = {0};

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (fs_read_file(path, MAX_STAT_BYTES, &text, ERR_IGNORED) == 0 &&
        (at = strrchr(buf_cstr(&text), ')')) != NULL && at[1] == ' ') {
        result.state = at[2];
        for (int field = 2; field < 22 && at != NULL; field++)
            at = strchr(at + 1, ' ');
        result.started = at == NULL ? 0 : strtoll(at, NULL, 10);
    }
    buf_free(&text);
    return result;
}

void lease_process_describe(struct lease_record *self)
{
    *self = (struct lease_record){.pid = getpid(), .since_ms = clock_wall_ms()};
    if (gethostname(self->host, MAX_HOST) != 0)
        snprintf(self->host, sizeof self->host, "unknown host");
    self->pid_started = read_process_stat(self->pid).started;
    read_surroundings(self);
    random_hex(self->token, LEASE_TOKEN_DIGITS);
}

static bool is_same_time(const struct lease_record *record, const struct lease_record *here)
{
    return record->counter > 0 && strcmp(record->time_namespace, here->time_namespace) == 0;
}

static bool is_of_this_boot(const struct lease_record *record, const struct lease_record *here)
{
    return record->boot[0] != '\0' && strcmp(record->boot, here->boot) == 0;
}

/* A process that is there, by its state in /proc. */
static enum lease_process judge_process_state(char state)
{
    switch (state) {
    case 'Z':
    case 'X':
    case 'x': return LEASE_PROCESS_DEAD;
    case 'R':
    case 'S':
    case 'I': return LEASE_PROCESS_RUNNING;
    default: return LEASE_PROCESS_HALTED;
    }
}

enum lease_process lease_process_look(const struct lease_record *record)
{
    struct lease_record here = {0};
    struct process_stat seen;

    read_surroundings(&here);
    if (record->pid <= 0 || !is_of_this_boot(record, &here) || record->pid_namespace[0] == '\0' ||
        strcmp(record->pid_namespace, here.pid_namespace) != 0)
        return LEASE_PROCESS_ELSEWHERE;
    if (kill((pid_t)record->pid, 0) != 0 && errno != EPERM)
        return LEASE_PROCESS_DEAD;
    seen = read_process_stat(record->pid);
    /* Start times of two time namespaces are counted from different boots. */
    if (is_same_time(record, &here) && seen.started > 0 && record->pid_started > 0 &&
        seen.started != record->pid_started)
        return LEASE_PROCESS_DEAD;
    return judge_process_state(seen.state);
}

int64_t lease_process_renewed_ago_ms(const struct lease_record *record)
{
    struct lease_record here = {0};

    read_surroundings(&here);
    if (!is_of_this_boot(record, &here) || !is_same_time(record, &here) ||
        record->renewed_boot_ms <= 0 || record->renewed_boot_ms > clock_now_ms())
        return -1;
    return clock_now_ms() - record->renewed_boot_ms;
}
