/*
 * Judges whether the holder of a lease is alive, without taking the lease and without waiting: the
 * caller looks, and looks again after `lease_look_ms` while the verdict is LEASE_WATCHING. Each
 * look reads one small file, which may hang.
 *
 * - A process of this boot and PID namespace that is gone has left a dead lease at once.
 * - Else the counter decides: once it has moved, the holder is alive; when it did not move for
 *   `lease_stale_ms` while this process looked, by this process's clock, the lease is dead. Times
 *   of files do not count, as they lie on some file systems.
 * - A process that runs here, and has renewed the lease just now by the clock that both share,
 *   needs no watching.
 * - A record of release 0.1, which has no counter, is judged by its file's age: `lease_plain_ms`.
 *
 *     struct lease_watch watch;
 *     lease_watch_init(&watch, folder, &intervals);
 *     while (lease_watch_look(&watch, &verdict, &e) == 0 && verdict == LEASE_WATCHING)
 *         (a timer of intervals.lease_look_ms)
 *     lease_watch_deinit(&watch);
 */
#ifndef DAEMON_LEASE_WATCH_H
#define DAEMON_LEASE_WATCH_H

#include <stdint.h>

#include "daemon/intervals.h"
#include "daemon/lease_process.h"
#include "daemon/lease_record.h"

enum lease_verdict {
    LEASE_FREE,    /* there is no record, or its holder has left */
    LEASE_HELD,    /* by a live holder */
    LEASE_DEAD,    /* its holder is dead, or does not renew it */
    LEASE_WATCHING /* not clear yet: look again after lease_look_ms */
};

struct lease_watch {
    struct lease_record record;    /* as last read; all zeros without one */
    enum lease_process process;    /* as last seen */
    int64_t unchanged_ms;          /* how long the record has not changed while it was looked at */
    int64_t left_ms;               /* WATCHING: the verdict comes after at most so long */
    /* the rest is the watch's */
    const struct intervals *intervals;
    struct buf path, first, now;
    int64_t looked_ms;
    bool is_claim;
};

/* Begins to watch the lease in `folder`. `intervals` is borrowed; the caller ends with
 * lease_watch_deinit, which is safe on zeros. */
void lease_watch_init(struct lease_watch *w, const char *folder, const struct intervals *intervals);
void lease_watch_deinit(struct lease_watch *w);

/* Begins to watch a file that a process keeps only for the moment in which it takes the lease: it
 * is dead when it did not change for `lease_claim_ms`. */
void lease_watch_init_claim(struct lease_watch *w, const char *path,
                            const struct intervals *intervals);

/* Looks once. An error (storage) leaves the watch as it is: look again. */
int lease_watch_look(struct lease_watch *w, enum lease_verdict *verdict, struct err *e) ERR_CHECKED;

#endif
