/* Worker processes that take no more jobs, until they are gone. Used by pool.c alone. */
#ifndef PROC_POOL_LEAVER_H
#define PROC_POOL_LEAVER_H

#include <stddef.h>
#include <stdint.h>

#include "proc/pollset.h"
#include "proc/process.h"

enum { POOL_LEAVE_MS = 1000 }; /* given to a worker to end by itself */

struct pool_leaver {
    struct process process;
    int64_t kill_at_ms; /* CLOCK_NEVER_MS: was killed */
};

/* All zeros: none. */
struct pool_leavers {
    struct pool_leaver *items;
    size_t count, cap;
};

/* Ends a process: at end of file by itself, or with SIGKILL at `kill_at_ms` (CLOCK_NEVER_MS: now).
 * Takes the process over. */
void pool_leavers_add(struct pool_leavers *leavers, struct process *process, int64_t kill_at_ms);

/* Forgets those that are gone, kills those whose time is up. */
void pool_leavers_sweep(struct pool_leavers *leavers, int64_t now_ms);

/* How many were killed and are still there. */
size_t pool_leavers_stuck(const struct pool_leavers *leavers);

void pool_leavers_poll(const struct pool_leavers *leavers, struct pollset *set);

/* Waits for all to go, kills the rest after POOL_LEAVE_MS, forgets what does not even die then. */
void pool_leavers_free(struct pool_leavers *leavers);

#endif
