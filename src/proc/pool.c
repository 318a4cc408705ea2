#include "proc/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "proc/frame.h"
#include "proc/pool_leaver.h"
#include "proc/pool_worker.h"

/*
 * A job:     submitted ──► with a worker ──► finished
 *                ▲              │ its worker is lost
 *                └─── waiting ◄─┴─► lost ──► on_lost
 * A worker:  running ──► leaving (told to end, or killed) ──► gone when its socket hangs up
 */

/* How many frames one worker may bring in one step, that others get their turn. */
enum { MAX_FRAMES_PER_STEP = 64 };

/* The status of a worker that hung up is looked for that often, should nobody handle SIGCHLD. */
enum { STATUS_LOOK_MS = 5 };

/* A worker is lost when as many looks in a row find it stopped. Time alone would not do: after all
 * processes were stopped together, this one may be continued first. */
enum { STOPPED_LOOKS = 4 };

/* Which worker stands at an index of `polled`. */
struct polled_worker {
    unsigned index;
    uint64_t serial;
};

struct pool {
    struct pool_options options;
    struct pool_worker *workers; /* max_workers places */
    size_t running;
    uint64_t next_serial;
    struct pool_jobs waiting; /* lost their worker before they were begun */
    struct pool_jobs lost;    /* callback to come */
    size_t job_count;
    struct pool_leavers leavers;
    struct pollset polled;
    struct polled_worker *polled_workers;
    struct buf in;
    char silence[64]; /* the reason's text */
};

struct pool *pool_new(const struct pool_options *options, struct err *e)
{
    struct pool *pool = calloc(1, sizeof *pool);
    unsigned n = options->max_workers;

    if (n == 0 || n > POOL_MAX_WORKERS || options->depth == 0 || options->depth > POOL_MAX_DEPTH) {
        free(pool);
        err_set(e, ERR_USAGE, "%u workers of %u jobs: want 1-%d of 1-%d", n, options->depth,
                POOL_MAX_WORKERS, POOL_MAX_DEPTH);
        return NULL;
    }
    if (pool != NULL) {
        pool->options = *options;
        pool->workers = calloc(n, sizeof *pool->workers);
        pool->polled_workers = calloc(n, sizeof *pool->polled_workers);
    }
    if (pool == NULL || pool->workers == NULL || pool->polled_workers == NULL) {
        pool_free(pool);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    snprintf(pool->silence, sizeof pool->silence, "no answer for %" PRId64 " s",
             options->job_timeout_ms / 1000);
    return pool;
}

static struct pool_worker *worker_end(const struct pool *pool)
{
    return pool->workers + pool->options.max_workers;
}

static size_t startable(const struct pool *pool)
{
    size_t stuck = pool_leavers_stuck(&pool->leavers), max = pool->options.max_workers;
    size_t counted = stuck > pool->options.max_stuck ? stuck - pool->options.max_stuck : 0;

    return max > pool->running + counted ? max - pool->running - counted : 0;
}

static bool is_idle_slot(const struct pool *pool, const struct pool_worker *w)
{
    return w->is_running && !w->is_broken && !w->has_hung_up && w->unsent == NULL &&
           w->jobs.count < pool->options.depth;
}

static size_t free_slots(const struct pool *pool)
{
    size_t slots = startable(pool) * pool->options.depth;

    for (struct pool_worker *w = pool->workers; w < worker_end(pool); w++)
        if (is_idle_slot(pool, w))
            slots += pool->options.depth - w->jobs.count;
    return slots;
}

bool pool_has_room(const struct pool *pool)
{
    return free_slots(pool) > pool->waiting.count;
}

static void take_status(void *owner, int wait_status)
{
    struct pool_worker *w = owner;

    w->has_status = true;
    w->status = wait_status;
}

static int start_worker(struct pool *pool, struct pool_worker **out, struct err *e)
{
    struct pool_worker *w = pool->workers;

    while (w->is_running)
        w++;
    *w = (struct pool_worker){.serial = ++pool->next_serial};
    if (process_start(&w->process, &pool->options.process, e) != 0)
        return -1;
    process_watch(&w->process, take_status, w);
    w->is_running = true;
    w->idle_since_ms = clock_now_ms();
    pool->running++;
    *out = w;
    return 0;
}

/* The least busy worker with an idle slot, else a new one. */
static int choose_worker(struct pool *pool, struct pool_worker **out, struct err *e)
{
    struct pool_worker *best = NULL;

    for (struct pool_worker *w = pool->workers; w < worker_end(pool); w++)
        if (is_idle_slot(pool, w) && (best == NULL || w->jobs.count < best->jobs.count))
            best = w;
    *out = best;
    if (best != NULL)
        return 0;
    if (startable(pool) > 0)
        return start_worker(pool, out, e);
    return err_set(e, ERR_FAILED,
                   pool_leavers_stuck(&pool->leavers) > pool->options.max_stuck
                       ? "the workers hang in storage that does not answer"
                       : "all workers are busy");
}

static struct pool_worker *find_worker(const struct pool *pool, uint64_t id, struct pool_job **job)
{
    for (struct pool_worker *w = pool->workers; w < worker_end(pool); w++)
        if (w->is_running && (*job = pool_jobs_find(&w->jobs, id)) != NULL)
            return w;
    return NULL;
}

int pool_tell(struct pool *pool, uint64_t id, struct str message, struct err *e)
{
    struct pool_job *job;
    struct pool_worker *w = find_worker(pool, id, &job);

    if (w == NULL || job->is_abandoned)
        return err_set(e, ERR_NOT_FOUND, "no worker has job %" PRIu64, id);
    if (message.len == 0 || message.len > FRAME_MAX_BYTES || w->unsent_count >= POOL_MAX_UNSENT)
        return err_set(e, ERR_TOO_LARGE, "the worker of job %" PRIu64 " takes no message", id);
    if (pool_worker_send(w, message, e) != 0)
        return -1;
    job->has_begun = true;
    return 0;
}

static void empty_place(struct pool *pool, struct pool_worker *w)
{
    pool_worker_free_unsent(w);
    *w = (struct pool_worker){.serial = w->serial};
    pool->running--;
}

/* Takes a worker out and sorts its jobs: the one in hand is lost, those not begun wait. */
static void lose_worker(struct pool *pool, struct pool_worker *w, const char *reason)
{
    struct pool_jobs jobs = w->jobs;
    struct pool_job *job;
    bool is_first = true;

    w->jobs = (struct pool_jobs){0};
    process_watch(&w->process, NULL, NULL);
    pool_leavers_add(&pool->leavers, &w->process, CLOCK_NEVER_MS);
    empty_place(pool, w);
    while ((job = pool_jobs_shift(&jobs)) != NULL) {
        snprintf(job->lost, sizeof job->lost, "%s", reason);
        job->waiting_since_ms = clock_now_ms();
        if (job->is_abandoned)
            pool_job_free(job);
        else if (is_first || job->has_begun)
            pool_jobs_append(&pool->lost, job);
        else
            pool_jobs_append(&pool->waiting, job);
        is_first = false;
    }
}

static int give(struct pool *pool, struct pool_job *job, struct err *e)
{
    struct pool_worker *w;

    for (;;) {
        if (choose_worker(pool, &w, e) != 0 || pool_worker_send(w, buf_str(&job->message), e) != 0)
            return -1;
        if (!w->is_broken)
            break;
        /* One that ended while it was idle costs nothing: the next one gets the job. */
        if (w->jobs.count == 0)
            lose_worker(pool, w, "ended while idle");
    }
    if (w->jobs.count == 0) {
        w->quiet_since_ms = clock_now_ms();
        w->look_at_ms = w->quiet_since_ms + pool->options.stopped_ms / STOPPED_LOOKS;
        w->stopped_looks = 0;
    }
    pool_jobs_append(&w->jobs, job);
    return 0;
}

int pool_submit(struct pool *pool, uint64_t id, struct str message, struct err *e)
{
    if (message.len == 0 || message.len > FRAME_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE, "a job of %zu bytes: want 1-%d", message.len,
                       FRAME_MAX_BYTES);
    if (!pool_has_room(pool))
        return err_set(e, ERR_FAILED, "all workers are busy");
    struct pool_job *job = pool_job_new(id, message);
    if (job == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (give(pool, job, e) != 0) {
        pool_job_free(job);
        return -1;
    }
    pool->job_count++;
    return 0;
}

static bool abandon_in_list(struct pool *pool, struct pool_jobs *list, uint64_t id)
{
    struct pool_job *job = pool_jobs_find(list, id);

    if (job == NULL)
        return false;
    pool_jobs_remove(list, job);
    pool_job_free(job);
    pool->job_count--;
    return true;
}

void pool_abandon(struct pool *pool, uint64_t id)
{
    struct pool_job *job;

    if (abandon_in_list(pool, &pool->waiting, id) || abandon_in_list(pool, &pool->lost, id))
        return;
    struct pool_worker *w = find_worker(pool, id, &job);
    if (w == NULL || job->is_abandoned)
        return;
    job->is_abandoned = true;
    pool->job_count--;
    if (pool_worker_is_useless(w))
        lose_worker(pool, w, "abandoned");
}

/* The worker does its jobs in order: hearing of one means that those before it, of which nobody
 * wants to hear, are over. */
static void drop_abandoned_before(struct pool_worker *w, const struct pool_job *job)
{
    struct pool_job *next;

    for (struct pool_job *j = w->jobs.first; j != NULL && j != job; j = next) {
        next = j->next;
        if (!j->is_abandoned)
            continue;
        pool_jobs_remove(&w->jobs, j);
        pool_job_free(j);
    }
}

static void finish_job(struct pool *pool, struct pool_worker *w, uint64_t id, int64_t now_ms)
{
    struct pool_job *job = pool_jobs_find(&w->jobs, id);

    if (job == NULL || job->is_abandoned)
        return;
    pool_jobs_remove(&w->jobs, job);
    pool_job_free(job);
    pool->job_count--;
    w->idle_since_ms = now_ms;
    if (pool_worker_is_useless(w))
        lose_worker(pool, w, "abandoned");
}

/* One message of a worker. False when it is none of ours: the worker is not to be trusted. */
static bool handle_message(struct pool *pool, struct pool_worker *w, int64_t now_ms)
{
    struct json *message = json_parse(buf_str(&pool->in), JSON_SURROGATE_ESCAPE, NULL);
    uint64_t serial = w->serial;
    int64_t id;

    if (!json_int(json_get(message, "id"), &id) || id < 0) {
        json_free(message);
        return false;
    }
    struct pool_job *job = pool_jobs_find(&w->jobs, (uint64_t)id);
    w->quiet_since_ms = now_ms;
    if (job != NULL)
        drop_abandoned_before(w, job);
    if (job != NULL && !job->is_abandoned) {
        job->has_begun = true;
        bool is_last = pool->options.on_message(pool->options.owner, (uint64_t)id, message);
        if (is_last && w->is_running && w->serial == serial)
            finish_job(pool, w, (uint64_t)id, now_ms);
    }
    json_free(message);
    return true;
}

static void read_worker(struct pool *pool, struct pool_worker *w, int64_t now_ms)
{
    uint64_t serial = w->serial;

    for (int i = 0; i < MAX_FRAMES_PER_STEP; i++) {
        enum io io = frame_receive(w->process.fd, &pool->in, NULL, NULL);
        if (io == IO_WANT_READ)
            return;
        if (io == IO_EOF) {
            w->has_hung_up = true;
            w->hung_up_ms = now_ms;
            return;
        }
        if (io != IO_DONE || !handle_message(pool, w, now_ms)) {
            lose_worker(pool, w, "the worker process sent what is no message");
            return;
        }
        if (!w->is_running || w->serial != serial)
            return;
    }
}

static void read_ready(struct pool *pool, int64_t now_ms)
{
    size_t count = 0;

    pollset_clear(&pool->polled);
    pollset_wake_at(&pool->polled, now_ms);
    for (unsigned i = 0; i < pool->options.max_workers; i++) {
        struct pool_worker *w = &pool->workers[i];
        if (!w->is_running || w->has_hung_up)
            continue;
        pool->polled_workers[count++] = (struct polled_worker){i, w->serial};
        pollset_add(&pool->polled, w->process.fd,
                    (short)(POLLIN | (w->unsent != NULL ? POLLOUT : 0)));
    }
    int ready = count == 0 ? 0 : pollset_wait(&pool->polled, NULL);
    /* Workers that cannot be polled are tried all: no step blocks. */
    bool is_blind = ready < 0 || pool->polled.failed;
    if (ready == 0 && !is_blind)
        return;
    for (size_t i = 0; i < count; i++) {
        struct pool_worker *w = &pool->workers[pool->polled_workers[i].index];
        short events = is_blind ? POLLIN | POLLOUT : pool->polled.fds[i].revents;
        if (!w->is_running || w->serial != pool->polled_workers[i].serial)
            continue;
        if ((events & POLLOUT) != 0)
            pool_worker_flush(w);
        if ((events & ~POLLOUT) != 0)
            read_worker(pool, w, now_ms);
    }
}

/* Its socket ends before its status is there: a moment is waited for that. */
static void lose_hung_up(struct pool *pool, struct pool_worker *w, int64_t now_ms)
{
    char words[CHILD_MAX_WORDS_BYTES], reason[POOL_REASON_SIZE];

    if (!w->has_status)
        w->has_status = process_get_status(&w->process, &w->status);
    if (!w->has_status && now_ms - w->hung_up_ms < CHILD_END_MS)
        return;
    child_put_status(w->status, words);
    snprintf(reason, sizeof reason, "the worker process %s%s",
             WIFSIGNALED(w->status) ? "was " : "", words);
    lose_worker(pool, w, w->has_status ? reason : "the worker process ended");
}

/* It ended; its last frames may still wait, or another process may have its socket. */
static void expect_end_of_file(struct pool_worker *w, int64_t now_ms)
{
    if (w->hung_up_ms == 0)
        w->hung_up_ms = now_ms;
    w->has_hung_up = now_ms - w->hung_up_ms >= CHILD_END_MS;
}

static bool is_silent(const struct pool *pool, const struct pool_worker *w, int64_t now_ms)
{
    return pool->options.job_timeout_ms > 0 && w->jobs.count > 0 &&
           now_ms - w->quiet_since_ms >= pool->options.job_timeout_ms;
}

static bool is_watched_for_stops(const struct pool *pool, const struct pool_worker *w)
{
    return pool->options.stopped_ms > 0 && w->is_running && w->jobs.count > 0;
}

/* Looks when it is time to; true when the worker was stopped for too long. */
static bool is_stopped_for_long(const struct pool *pool, struct pool_worker *w, int64_t now_ms)
{
    if (!is_watched_for_stops(pool, w) || now_ms < w->look_at_ms)
        return false;
    w->look_at_ms = now_ms + pool->options.stopped_ms / STOPPED_LOOKS;
    w->stopped_looks = process_stop_signal(&w->process) != 0 ? w->stopped_looks + 1 : 0;
    return w->stopped_looks >= STOPPED_LOOKS;
}

static void lose_silent_and_broken(struct pool *pool, int64_t now_ms)
{
    for (struct pool_worker *w = pool->workers; w < worker_end(pool); w++) {
        if (w->is_running && w->has_status && !w->has_hung_up)
            expect_end_of_file(w, now_ms);
        if (w->is_running && w->has_hung_up)
            lose_hung_up(pool, w, now_ms);
        else if (w->is_running && w->is_broken)
            lose_worker(pool, w, "the worker process cannot be reached");
        else if (w->is_running && is_silent(pool, w, now_ms))
            lose_worker(pool, w, pool->silence);
        else if (is_stopped_for_long(pool, w, now_ms))
            lose_worker(pool, w, "the worker process was stopped by a signal and not continued");
    }
}

/* Jobs can wait for a worker that is busy, not for one that never comes. */
static bool is_hopeless(const struct pool *pool, const struct pool_job *job, int64_t now_ms)
{
    return pool->running == 0 && now_ms - job->waiting_since_ms >= POOL_LEAVE_MS;
}

static void give_waiting(struct pool *pool, int64_t now_ms)
{
    struct pool_job *job;

    while ((job = pool->waiting.first) != NULL) {
        pool_jobs_shift(&pool->waiting);
        if (give(pool, job, NULL) == 0)
            continue;
        if (!is_hopeless(pool, job, now_ms)) {
            job->next = pool->waiting.first;
            pool->waiting.first = job;
            pool->waiting.count++;
            return;
        }
        snprintf(job->lost, sizeof job->lost, "no worker process can be started");
        pool_jobs_append(&pool->lost, job);
    }
}

static void report_lost(struct pool *pool)
{
    struct pool_job *job;

    while ((job = pool_jobs_shift(&pool->lost)) != NULL) {
        uint64_t id = job->id;
        char reason[POOL_REASON_SIZE];
        memcpy(reason, job->lost, sizeof reason);
        pool_job_free(job);
        pool->job_count--;
        pool->options.on_lost(pool->options.owner, id, reason);
    }
}

void pool_step(struct pool *pool, int64_t now_ms)
{
    read_ready(pool, now_ms);
    lose_silent_and_broken(pool, now_ms);
    pool_leavers_sweep(&pool->leavers, now_ms);
    give_waiting(pool, now_ms);
    report_lost(pool);
}

void pool_poll(const struct pool *pool, struct pollset *set)
{
    bool is_due = pool->lost.count > 0 || (pool->waiting.count > 0 && free_slots(pool) > 0);

    for (struct pool_worker *w = pool->workers; w < worker_end(pool); w++) {
        if (!w->is_running)
            continue;
        if (w->has_hung_up) {
            pollset_wake_at(set, w->has_status ? clock_now_ms() : clock_now_ms() + STATUS_LOOK_MS);
            continue;
        }
        if (w->has_status)
            pollset_wake_at(set,
                            w->hung_up_ms == 0 ? clock_now_ms() : w->hung_up_ms + CHILD_END_MS);
        is_due = is_due || w->is_broken;
        pollset_add(set, w->process.fd, (short)(POLLIN | (w->unsent != NULL ? POLLOUT : 0)));
        if (pool->options.job_timeout_ms > 0 && w->jobs.count > 0)
            pollset_wake_at(set, w->quiet_since_ms + pool->options.job_timeout_ms);
        if (is_watched_for_stops(pool, w))
            pollset_wake_at(set, w->look_at_ms);
    }
    pool_leavers_poll(&pool->leavers, set);
    if (pool->waiting.count > 0 && pool->running == 0)
        pollset_wake_at(set, pool->waiting.first->waiting_since_ms + POOL_LEAVE_MS);
    if (is_due)
        pollset_wake_at(set, clock_now_ms());
}

static void let_go(struct pool *pool, struct pool_worker *w, int64_t kill_at_ms)
{
    process_watch(&w->process, NULL, NULL);
    pool_leavers_add(&pool->leavers, &w->process, kill_at_ms);
    pool_jobs_free(&w->jobs);
    empty_place(pool, w);
}

void pool_trim(struct pool *pool, int64_t now_ms, int64_t idle_ms)
{
    for (struct pool_worker *w = pool->workers; w < worker_end(pool); w++)
        if (w->is_running && w->jobs.count == 0 && now_ms - w->idle_since_ms >= idle_ms)
            let_go(pool, w, now_ms + POOL_LEAVE_MS);
}

size_t pool_jobs(const struct pool *pool)
{
    return pool->job_count;
}

size_t pool_workers(const struct pool *pool)
{
    return pool->running;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    for (struct pool_worker *w = pool->workers; w != NULL && w < worker_end(pool); w++)
        if (w->is_running)
            let_go(pool, w, clock_now_ms() + POOL_LEAVE_MS);
    pool_leavers_free(&pool->leavers);
    pool_jobs_free(&pool->waiting);
    pool_jobs_free(&pool->lost);
    pollset_free(&pool->polled);
    buf_free(&pool->in);
    free(pool->polled_workers);
    free(pool->workers);
    free(pool);
}
