#include "proc/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fields.h"
#include "proc/child.h"
#include "proc/frame.h"

/*
 * A job:     submitted ──► with a worker ──► finished
 *                ▲              │ its worker is lost
 *                └─── waiting ◄─┴─► lost ──► on_lost, at the end of the round
 */

/* Why a job is lost. */
enum { REASON_SIZE = CHILD_MAX_WORDS_BYTES + 32 };

/* Workers that a job is sent to, should one after the other be gone when it is. */
enum { GIVE_TRIES = 3 };

/* Whether a process can be started is tried that often while jobs wait and there is none. */
enum { START_AGAIN_MS = 100 };

struct pool_job {
    uint64_t id;
    struct pool_job *next;
    struct buf message;
    bool has_begun;    /* a message of it came, or was sent to it: never done twice */
    bool is_abandoned; /* its messages are dropped; it keeps its place */
    int64_t waiting_since_ms;
    char lost[REASON_SIZE]; /* in the list of lost jobs: why */
    size_t lost_together;   /* likewise: jobs that its worker had in hand */
};

/* In order of arrival. */
struct pool_job_list {
    struct pool_job *first;
    size_t count;
};

/*
 * WORKING ──(idle for long, or the pool ends)──► LEAVING ──┐
 *    ├──────────────────(silent, stopped, abandoned)───────┴──► KILLED
 *    └──► in each of them: gone, when its end is there
 */
enum state { WORKING, LEAVING, KILLED };

struct pool_worker {
    struct pool *pool;
    struct pool_worker *next;
    enum state state;
    struct child *child;
    struct pool_job_list jobs; /* none when it does not work */
    int64_t idle_since_ms;
};

struct pool {
    struct pool_options options;
    struct pool_worker *workers;
    struct pool_job_list waiting; /* lost their worker before they were begun */
    struct pool_job_list lost;    /* callback to come */
    size_t lost_together;         /* of the job in its callback */
    size_t job_count;
    struct loop_call turn;   /* gives what waits, reports what is lost and what is free */
    struct loop_timer timer; /* the next idle worker leaves, or a process is tried to be started */
    bool has_free_place;     /* to be reported */
    struct loop_timer late;  /* pool_free has waited enough */
    bool is_late;
};

/* ---- jobs ---- */

static void append_job(struct pool_job_list *list, struct pool_job *job)
{
    struct pool_job **end = &list->first;

    while (*end != NULL)
        end = &(*end)->next;
    *end = job;
    job->next = NULL;
    list->count++;
}

static void prepend_job(struct pool_job_list *list, struct pool_job *job)
{
    job->next = list->first;
    list->first = job;
    list->count++;
}

static struct pool_job *shift_job(struct pool_job_list *list)
{
    struct pool_job *job = list->first;

    if (job != NULL) {
        list->first = job->next;
        list->count--;
    }
    return job;
}

static struct pool_job *find_pool_job(const struct pool_job_list *list, uint64_t id)
{
    struct pool_job *job = list->first;

    while (job != NULL && job->id != id)
        job = job->next;
    return job;
}

static void free_pool_job(struct pool_job *job)
{
    if (job == NULL)
        return;
    buf_free(&job->message);
    free(job);
}

/* Takes it out and frees it. */
static void remove_pool_job(struct pool_job_list *list, struct pool_job *job)
{
    for (struct pool_job **at = &list->first; *at != NULL; at = &(*at)->next)
        if (*at == job) {
            *at = job->next;
            list->count--;
            break;
        }
    free_pool_job(job);
}

static void free_jobs(struct pool_job_list *list)
{
    while (list->first != NULL)
        free_pool_job(shift_job(list));
}

static struct pool_job *new_job(uint64_t id, struct str message)
{
    struct pool_job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return NULL;
    job->id = id;
    buf_put(&job->message, message);
    if (!job->message.failed)
        return job;
    free_pool_job(job);
    return NULL;
}

/* ---- room ---- */

/* A worker that is gone keeps its place until its jobs are sorted. */
static bool has_worker_place(const struct pool_worker *w)
{
    return w->state == WORKING && (w->jobs.count > 0 || child_takes_messages(w->child));
}

/* Killed, and still there. */
static bool is_stuck(const struct pool_worker *w)
{
    return child_was_killed(w->child) && !child_has_hung_up(w->child);
}

static size_t count_workers(const struct pool *pool, bool (*counts)(const struct pool_worker *w))
{
    size_t count = 0;

    for (const struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        count += counts(w);
    return count;
}

static size_t count_startable_workers(const struct pool *pool)
{
    size_t stuck = count_workers(pool, is_stuck), max_stuck = pool->options.max_stuck;
    size_t used =
        count_workers(pool, has_worker_place) + (stuck > max_stuck ? stuck - max_stuck : 0);

    return pool->options.max_workers > used ? pool->options.max_workers - used : 0;
}

static bool has_idle_slot(const struct pool *pool, const struct pool_worker *w)
{
    return w->state == WORKING && w->jobs.count < pool->options.depth &&
           child_takes_at_once(w->child);
}

bool pool_has_room(const struct pool *pool)
{
    size_t slots = count_startable_workers(pool) * pool->options.depth;

    for (const struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        if (has_idle_slot(pool, w))
            slots += pool->options.depth - w->jobs.count;
    return slots > pool->waiting.count;
}

size_t pool_jobs(const struct pool *pool)
{
    return pool->job_count;
}

size_t pool_lost_together(const struct pool *pool)
{
    return pool->lost_together;
}

size_t pool_workers(const struct pool *pool)
{
    return count_workers(pool, has_worker_place);
}

static int64_t leaves_at(const struct pool *pool, const struct pool_worker *w)
{
    return pool->options.idle_ms > 0 && w->state == WORKING && w->jobs.count == 0
               ? w->idle_since_ms + pool->options.idle_ms
               : CLOCK_NEVER_MS;
}

static void set_pool_timer(struct pool *pool)
{
    int64_t at_ms = CLOCK_NEVER_MS;

    for (const struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        at_ms = clock_earlier(at_ms, leaves_at(pool, w));
    if (pool->waiting.count > 0 && pool_workers(pool) == 0)
        at_ms = clock_earlier(at_ms, loop_now_ms(pool->options.loop) + START_AGAIN_MS);
    if (at_ms != loop_timer_at_ms(&pool->timer))
        loop_set_timer(pool->options.loop, &pool->timer, at_ms);
}

/* ---- the end of a worker ---- */

/* "the worker process was killed by SIGKILL: …" */
static void put_loss_reason(const char *words, char *out)
{
    bool was_killed = str_starts_with(str_of(words), STR("killed"));

    snprintf(out, REASON_SIZE, "the worker process %s%s", was_killed ? "was " : "", words);
}

/* Counts the jobs in hand: the first, and those of which a message came. */
static size_t count_begun(const struct pool_worker *w)
{
    size_t count = 0;

    for (const struct pool_job *job = w->jobs.first; job != NULL; job = job->next)
        count += job == w->jobs.first || job->has_begun;
    return count;
}

/* Sorts the jobs of a worker that does none any more: the one in hand is lost, those not begun
 * wait. */
static void lose_jobs(struct pool_worker *w, const char *words)
{
    struct pool *pool = w->pool;
    const size_t begun = count_begun(w);
    struct pool_job *job;
    bool is_first = true;

    while ((job = shift_job(&w->jobs)) != NULL) {
        put_loss_reason(words, job->lost);
        job->lost_together = begun;
        job->waiting_since_ms = loop_now_ms(pool->options.loop);
        if (job->is_abandoned)
            free_pool_job(job);
        else if (is_first || job->has_begun)
            append_job(&pool->lost, job);
        else
            append_job(&pool->waiting, job);
        is_first = false;
    }
    pool->has_free_place = true;
    loop_defer(pool->options.loop, &pool->turn);
}

static void report_idle_end(const struct pool *pool, const char *words)
{
    char reason[REASON_SIZE];

    put_loss_reason(words, reason);
    if (pool->options.on_idle_end != NULL)
        pool->options.on_idle_end(pool->options.owner, reason);
}

static void free_worker(struct pool_worker *w)
{
    struct pool_worker **link = &w->pool->workers;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    free_jobs(&w->jobs);
    free(w);
}

static void on_worker_killed(struct pool_worker *w, const char *words)
{
    enum state before = w->state;

    w->state = KILLED;
    if (before == WORKING)
        lose_jobs(w, words);
    else if (before == LEAVING)
        report_idle_end(w->pool, words);
}

static void on_worker_ended(struct pool_worker *w, const char *words)
{
    struct pool *pool = w->pool;

    if (w->state == WORKING && w->jobs.count == 0 && !child_ended_well(w->child))
        report_idle_end(pool, words);
    lose_jobs(w, words);
    free_worker(w);
}

static void on_worker_event(void *owner, enum child_event event, const char *words)
{
    switch (event) {
    case CHILD_KILLED: on_worker_killed(owner, words); break;
    case CHILD_ENDED: on_worker_ended(owner, words); break;
    case CHILD_STUCK: /* it is killed at once */
    case CHILD_ANSWERS: break;
    }
}

/* Kills a worker whose jobs are all abandoned. */
static void kill_worker(struct pool_worker *w)
{
    w->state = KILLED;
    child_kill(w->child, "its job is not wanted any more");
    lose_jobs(w, "");
}

static void let_worker_go(struct pool_worker *w)
{
    w->state = LEAVING;
    child_leave(w->child, clock_now_ms() + POOL_LEAVE_MS);
}

/* True when every job that it has was abandoned. */
static bool is_useless(const struct pool_worker *w)
{
    for (const struct pool_job *job = w->jobs.first; job != NULL; job = job->next)
        if (!job->is_abandoned)
            return false;
    return w->jobs.first != NULL;
}

/* ---- what workers send ---- */

/* The worker does its jobs in order: hearing of one means that those before it, of which nobody
 * wants to hear, are over. */
static void drop_abandoned_before(struct pool_worker *w, const struct pool_job *job)
{
    struct pool_job *next;

    for (struct pool_job *j = w->jobs.first; j != NULL && j != job; j = next) {
        next = j->next;
        if (j->is_abandoned)
            remove_pool_job(&w->jobs, j);
    }
}

static void finish_job(struct pool_worker *w, uint64_t id)
{
    struct pool *pool = w->pool;
    struct pool_job *job = find_pool_job(&w->jobs, id);

    if (job == NULL || job->is_abandoned)
        return;
    remove_pool_job(&w->jobs, job);
    pool->job_count--;
    pool->has_free_place = true;
    if (is_useless(w)) {
        kill_worker(w);
    } else if (w->jobs.count == 0) {
        w->idle_since_ms = loop_now_ms(pool->options.loop);
        child_watch(w->child, false);
        set_pool_timer(pool);
    }
}

/* The pool's turn is asked for before the owner's may be: so it comes first. */
static bool take_worker_message(struct pool_worker *w, uint64_t id, const struct json *message)
{
    struct pool *pool = w->pool;
    struct pool_job *job = find_pool_job(&w->jobs, id);
    enum pool_said said;

    if (job == NULL)
        return true;
    drop_abandoned_before(w, job);
    if (job->is_abandoned)
        return true;
    job->has_begun = true;
    loop_defer(pool->options.loop, &pool->turn);
    said = pool->options.on_message(pool->options.owner, id, message);
    if (said == POOL_IS_LAST && w->state == WORKING)
        finish_job(w, id);
    return said != POOL_NONSENSE;
}

static bool on_worker_frame(void *owner, struct str frame, int fd)
{
    struct pool_worker *w = owner;
    static const struct field id_fields[] = {{.name = "id", .kind = FIELD_INT},
                                             {.kind = FIELD_OTHERS}};
    struct json *message;
    int64_t id;
    bool is_good;

    (void)fd; /* -1: workers pass none */
    if (w->state != WORKING)
        return true;
    message = json_parse(frame, JSON_SURROGATE_ESCAPE, ERR_IGNORED);
    is_good = fields_read(id_fields, message, &id, NULL, ERR_IGNORED) == 0 &&
              take_worker_message(w, (uint64_t)id, message);
    json_free(message);
    return is_good;
}

/* ---- giving ---- */

static struct pool_worker *start_pool_worker(struct pool *pool, struct err *e)
{
    const struct pool_options *options = &pool->options;
    struct pool_worker *w = calloc(1, sizeof *w);

    if (w == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    w->pool = pool;
    w->idle_since_ms = loop_now_ms(options->loop);
    w->child = child_start(&(struct child_options){.loop = options->loop,
                                                   .process = options->process,
                                                   .policy = {.stuck_ms = options->job_timeout_ms,
                                                              .stopped_ms = options->stopped_ms},
                                                   .on_frame = on_worker_frame,
                                                   .on_event = on_worker_event,
                                                   .owner = w},
                           e);
    if (w->child == NULL) {
        free(w);
        return NULL;
    }
    w->next = pool->workers;
    pool->workers = w;
    return w;
}

/* The least busy worker with an idle slot, else a new one; or the other way round. */
static struct pool_worker *choose_worker(struct pool *pool, struct err *e)
{
    struct pool_worker *best = NULL;

    for (struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        if (has_idle_slot(pool, w) && (best == NULL || w->jobs.count < best->jobs.count))
            best = w;
    if (count_startable_workers(pool) > 0 &&
        (best == NULL || (pool->options.has_workers_first && best->jobs.count > 0))) {
        struct pool_worker *started = start_pool_worker(pool, e);
        return started != NULL ? started : best;
    }
    if (best != NULL)
        return best;
    err_set(e, ERR_FAILED,
            count_workers(pool, is_stuck) > pool->options.max_stuck
                ? "the workers hang in storage that does not answer"
                : "all workers are busy");
    return NULL;
}

/* A worker that ended while it was idle costs nothing: the next one gets the job. */
static int give_job(struct pool *pool, struct pool_job *job, struct err *e)
{
    struct err why = {0};

    for (int tries = 0; tries < GIVE_TRIES; tries++) {
        struct pool_worker *w = choose_worker(pool, e);
        if (w == NULL)
            return -1;
        if (child_send(w->child, buf_str(&job->message), -1, &why) == 0) {
            append_job(&w->jobs, job);
            child_watch(w->child, true);
            return 0;
        }
        if (child_takes_messages(w->child))
            break; /* without memory */
    }
    return err_from(e, ERR_FAILED, &why); /* a process that is gone is no file that is absent */
}

int pool_submit(struct pool *pool, uint64_t id, struct str message, struct err *e)
{
    if (message.len == 0 || message.len > FRAME_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE, "a job of %zu bytes: want 1-%d", message.len,
                       FRAME_MAX_BYTES);
    if (!pool_has_room(pool))
        return err_set(e, ERR_FAILED, "all workers are busy");
    struct pool_job *job = new_job(id, message);
    if (job == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (give_job(pool, job, e) != 0) {
        free_pool_job(job);
        return -1;
    }
    pool->job_count++;
    return 0;
}

static struct pool_worker *find_worker(const struct pool *pool, uint64_t id, struct pool_job **job)
{
    for (struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        if ((*job = find_pool_job(&w->jobs, id)) != NULL)
            return w;
    return NULL;
}

int pool_send(struct pool *pool, uint64_t id, struct str message, struct err *e)
{
    struct pool_job *job;
    struct pool_worker *w = find_worker(pool, id, &job);

    if (w == NULL || job->is_abandoned)
        return err_set(e, ERR_NOT_FOUND, "no worker has job %" PRIu64, id);
    if (child_send(w->child, message, -1, e) != 0)
        return -1;
    job->has_begun = true;
    return 0;
}

static bool abandon_in_list(struct pool *pool, struct pool_job_list *list, uint64_t id)
{
    struct pool_job *job = find_pool_job(list, id);

    if (job == NULL)
        return false;
    remove_pool_job(list, job);
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
    if (is_useless(w))
        kill_worker(w);
}

/* ---- at the end of a round ---- */

/* Jobs can wait for a worker that is busy, not for one that never comes. */
static bool is_hopeless(const struct pool *pool, const struct pool_job *job)
{
    return pool_workers(pool) == 0 &&
           loop_now_ms(pool->options.loop) - job->waiting_since_ms >= POOL_LEAVE_MS;
}

static void give_waiting(struct pool *pool)
{
    struct pool_job *job;
    struct err e;

    while ((job = shift_job(&pool->waiting)) != NULL) {
        if (give_job(pool, job, &e) == 0)
            continue;
        if (!is_hopeless(pool, job)) {
            prepend_job(&pool->waiting, job);
            return;
        }
        snprintf(job->lost, sizeof job->lost, "no worker process can be started: %.*s",
                 REASON_SIZE / 2, e.msg);
        job->lost_together = 1;
        append_job(&pool->lost, job);
    }
}

static void report_lost(struct pool *pool)
{
    struct pool_job *job;

    while ((job = shift_job(&pool->lost)) != NULL) {
        pool->job_count--;
        pool->lost_together = job->lost_together;
        pool->options.on_lost(pool->options.owner, job->id, job->lost);
        free_pool_job(job);
    }
}

static void on_pool_turn(void *owner)
{
    struct pool *pool = owner;
    bool has_free_place = pool->has_free_place;

    pool->has_free_place = false;
    give_waiting(pool);
    report_lost(pool);
    if (has_free_place && pool->options.on_room != NULL)
        pool->options.on_room(pool->options.owner);
    set_pool_timer(pool);
}

static void on_pool_time(void *owner)
{
    struct pool *pool = owner;
    int64_t now = loop_now_ms(pool->options.loop);

    for (struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        if (leaves_at(pool, w) != CLOCK_NEVER_MS && leaves_at(pool, w) <= now)
            let_worker_go(w);
    if (pool->waiting.count > 0)
        loop_defer(pool->options.loop, &pool->turn);
    set_pool_timer(pool);
}

/* ---- the pool ---- */

static void on_end_too_late(void *owner)
{
    ((struct pool *)owner)->is_late = true;
}

struct pool *pool_new(const struct pool_options *options, struct err *e)
{
    unsigned n = options->max_workers;
    struct pool *pool;

    if (n == 0 || n > POOL_MAX_WORKERS || options->depth == 0 || options->depth > POOL_MAX_DEPTH) {
        err_set(e, ERR_USAGE, "%u workers of %u jobs: want 1-%d of 1-%d", n, options->depth,
                POOL_MAX_WORKERS, POOL_MAX_DEPTH);
        return NULL;
    }
    pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    pool->options = *options;
    pool->turn = (struct loop_call){.call = on_pool_turn, .owner = pool};
    pool->timer = (struct loop_timer){.call = on_pool_time, .owner = pool};
    pool->late = (struct loop_timer){.call = on_end_too_late, .owner = pool};
    return pool;
}

/* Gone is whose socket hung up: its status is nobody's business. */
static bool have_workers_ended(void *owner)
{
    const struct pool *pool = owner;

    for (const struct pool_worker *w = pool->workers; w != NULL; w = w->next)
        if (!child_has_hung_up(w->child) && !pool->is_late)
            return false;
    return true;
}

void pool_free(struct pool *pool)
{
    struct pool_worker *w;

    if (pool == NULL)
        return;
    pool->options.on_room = NULL;
    pool->options.on_idle_end = NULL;
    for (w = pool->workers; w != NULL; w = w->next) {
        free_jobs(&w->jobs);
        if (w->state == WORKING)
            let_worker_go(w);
    }
    free_jobs(&pool->waiting);
    free_jobs(&pool->lost);
    loop_set_timer(pool->options.loop, &pool->late, clock_now_ms() + 2 * POOL_LEAVE_MS);
    /* Where it fails, they are killed. */
    (void)!loop_run_until(pool->options.loop, have_workers_ended, pool, ERR_IGNORED);
    loop_clear_timer(pool->options.loop, &pool->late);
    while ((w = pool->workers) != NULL) {
        child_free(w->child);
        free_worker(w);
    }
    loop_clear_timer(pool->options.loop, &pool->timer);
    loop_undefer(pool->options.loop, &pool->turn);
    free(pool);
}
