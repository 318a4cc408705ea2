/*
 * A pool of worker processes that do numbered jobs. A worker that crashes, is killed or hangs
 * costs its own jobs, never the caller.
 */
#ifndef PROC_POOL_H
#define PROC_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "proc/pollset.h"
#include "proc/process.h"

enum { POOL_MAX_WORKERS = 128 };

struct pool;

struct pool_options {
    struct process_options process; /* process.run: reads frames {"id":N,"type":…}, answers */
    unsigned max_workers;           /* 1 to POOL_MAX_WORKERS; started when needed */
    unsigned depth;                 /* jobs in flight per worker, 1 for long jobs */
    int64_t job_timeout_ms;         /* silence after which a job is lost; 0: never */
    unsigned max_stuck;             /* hung workers left behind (uninterruptible sleep) at most */
    /* One message of the worker about job `id`. Returns true when it was the job's last. */
    bool (*on_message)(void *owner, uint64_t id, const struct json *message);
    /* The worker ended or was silent for too long with this job in hand; `reason` says which. */
    void (*on_lost)(void *owner, uint64_t id, const char *reason);
    void *owner;
};

struct pool *pool_new(const struct pool_options *options, struct err *e);

/* Closes all workers' sockets (they end), kills those that do not within a moment. NULL-safe. */
void pool_free(struct pool *pool);

/* True when a job would start at once: an idle slot exists or a worker may be started. */
bool pool_has_room(const struct pool *pool);

/* Gives a job to the least busy worker, starting one when all are full and the maximum is not
 * reached. `message` is a JSON object with that id. -1 when there is no room or no process can be
 * started; the job is then not taken. */
int pool_submit(struct pool *pool, uint64_t id, struct str message, struct err *e);

/* Sends a further message to the worker that has job `id` (e.g. cancel). */
int pool_tell(struct pool *pool, uint64_t id, struct str message, struct err *e);

/* Gives a job up: its worker is killed when `id` is its only job, otherwise its later messages are
 * dropped. No callback follows. */
void pool_abandon(struct pool *pool, uint64_t id);

size_t pool_jobs(const struct pool *pool);
size_t pool_workers(const struct pool *pool);

/* Adds what the pool waits for; handles what came. Callbacks run inside pool_step, may submit. */
void pool_poll(const struct pool *pool, struct pollset *set);
void pool_step(struct pool *pool, int64_t now_ms);

/* Ends workers that had nothing to do for `idle_ms`. */
void pool_trim(struct pool *pool, int64_t now_ms, int64_t idle_ms);

#endif
