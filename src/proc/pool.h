/*
 * A pool of worker processes that do numbered jobs, in a loop. A worker that crashes, is killed or
 * hangs costs the job that it was at, never the caller. The processes are looked after by child.h;
 * this module decides which worker gets which job.
 */
#ifndef PROC_POOL_H
#define PROC_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proc/process.h"

enum {
    POOL_MAX_WORKERS = 128,
    POOL_MAX_DEPTH = 1024,
    POOL_LEAVE_MS = 1000 /* given to a worker to end by itself */
};

struct pool;

enum pool_said {
    POOL_GOES_ON,
    POOL_IS_LAST, /* of the job */
    POOL_NONSENSE /* it is no message: the worker is killed, the job lost */
};

struct pool_options {
    struct loop *loop;
    /* process.run: reads frames {"id":N,"type":…} and answers them with frames that have the id;
     * it begins its jobs in the order in which they came, says so of one that it begins beside
     * others by a first message of it, and returns at end of file. */
    struct process_options process;
    unsigned max_workers;   /* 1 to POOL_MAX_WORKERS; started when needed */
    unsigned depth;         /* jobs in flight per worker, 1 for long jobs, to POOL_MAX_DEPTH */
    bool has_workers_first; /* a worker is started before another one gets a second job */
    int64_t job_timeout_ms; /* silence after which the job in hand is lost; 0: never */
    int64_t stopped_ms;     /* a worker that is stopped by a signal for about so long, with a job in
                               hand, is lost; 0: never */
    int64_t idle_ms;        /* a worker that had nothing to do for so long ends; 0: none does */
    unsigned max_stuck;     /* killed workers that do not die (uninterruptible sleep) and are
                               replaced all the same; further ones count as max_workers */
    /* One message of the worker about job `id`. After the last one the job's place is free. */
    enum pool_said (*on_message)(void *owner, uint64_t id, const struct json *message);
    /* The worker ended, or was killed because it was silent or stopped for too long, with this job
     * in hand, for that `reason`; pool_lost_together returns how many it had. Jobs behind them that
     * were not begun (no message of them came, none was sent to them) are not lost: the pool gives
     * them to other workers. */
    void (*on_lost)(void *owner, uint64_t id, const char *reason);
    /* A place became free in this round: there may be room again. NULL: not called. */
    void (*on_room)(void *owner);
    /* A worker without a job ended other than well, or did not leave; for the log. NULL: not
     * called. */
    void (*on_idle_end)(void *owner, const char *reason);
    void *owner;
};

/* Makes a pool without workers; the options are copied. NULL: ERR_USAGE beyond the limits,
 * ERR_FAILED without memory. */
struct pool *pool_new(const struct pool_options *options, struct err *e);

/* Lets all workers end, kills those that do not within POOL_LEAVE_MS. Runs the loop meanwhile, so
 * it is called outside of all callbacks; there is none of the pool's own. NULL-safe. */
void pool_free(struct pool *pool);

/* Returns true when a job would start at once: an idle slot exists or a worker may be started. A
 * worker whose socket is full has no idle slot. */
bool pool_has_room(const struct pool *pool);

/* Gives a job to the least busy worker, starting one when all are full and the maximum is not
 * reached. `message` is a JSON object with that id, which no other job of the pool has. -1 when
 * there is no room or no process can be started; the job is then not taken. Callbacks may submit,
 * tell and abandon. */
int pool_submit(struct pool *pool, uint64_t id, struct str message, struct err *e);

/* Sends a further message to the worker that has job `id` (e.g. cancel). -1: ERR_NOT_FOUND when no
 * worker has it or it is gone, ERR_TOO_LARGE when CHILD_MAX_UNSENT messages wait for that worker
 * already. */
int pool_send(struct pool *pool, uint64_t id, struct str message, struct err *e);

/* Gives a job up: its worker is killed when it has no other job, otherwise the job's later messages
 * are dropped. No callback follows. Unknown ids are ignored. */
void pool_abandon(struct pool *pool, uint64_t id);

/* Returns the number of jobs for which a callback is still to come. */
size_t pool_jobs(const struct pool *pool);

/* During on_lost: returns how many jobs, with this one, its worker had begun and not ended. */
size_t pool_lost_together(const struct pool *pool);

/* Returns the number of workers that take jobs. */
size_t pool_workers(const struct pool *pool);

#endif
