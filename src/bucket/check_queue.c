#include "bucket/check_queue.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bucket/check_worker.h"
#include "http/crew_frame.h"
#include "proc/child.h"

enum { LANES = 2, TICK_MS = 500, IDLE_MS = 30000, REST_MS = 600000 };

/* Somebody who waits for a job's end. */
struct check_waiter {
    struct check_waiter *next;
    uint64_t worker, id;
    int64_t until_ms;
};

struct check_job {
    struct check_job *next;
    uint64_t turn; /* the lowest is next: each further one of a client is a turn later */
    char client[CHECK_MAX_CLIENT_BYTES + 1];
    struct check_waiter *waiters;
    size_t key_len;
    char key[];
};

struct check_lane {
    struct check_queue *queue;
    const char *name; /* of its process */
    int niceness;
    struct child *child; /* NULL: none */
    struct check_job *running, *first;
    size_t count; /* queued */
    uint64_t turn;
    uint64_t last_id;
    int64_t idle_since_ms;
    int64_t rest_until_ms; /* after one that was stuck: the next would be, too */
};

struct check_queue {
    struct check_queue_options options;
    struct check_lane lanes[LANES];
    struct loop_timer timer;
};

/* ---- jobs ---- */

static void answer_check_waiter(struct check_queue *queue, const struct check_waiter *waiter)
{
    queue->options.on_checked(queue->options.owner, waiter->worker, waiter->id);
}

/* Answers whoever has waited until now (CLOCK_NEVER_MS: all). */
static void answer_due_waiters(struct check_queue *queue, struct check_job *job, int64_t now_ms)
{
    struct check_waiter **link = &job->waiters;

    while (*link != NULL) {
        struct check_waiter *waiter = *link;
        if (now_ms >= 0 && waiter->until_ms > now_ms) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        answer_check_waiter(queue, waiter);
        free(waiter);
    }
}

static void free_check_job(struct check_job *job)
{
    while (job != NULL && job->waiters != NULL) {
        struct check_waiter *waiter = job->waiters;
        job->waiters = waiter->next;
        free(waiter);
    }
    free(job);
}

static bool is_about(const struct check_job *job, struct str key)
{
    return job != NULL && str_equal((struct str){job->key, job->key_len}, key);
}

static struct check_job *find_check_job(const struct check_lane *lane, struct str key)
{
    struct check_job *job = lane->first;

    if (is_about(lane->running, key))
        return lane->running;
    while (job != NULL && !is_about(job, key))
        job = job->next;
    return job;
}

/* The turn of a client's next job; 0: it has as many as it may. */
static uint64_t next_turn(const struct check_lane *lane, struct str client)
{
    uint64_t turn = lane->turn;
    size_t count = 0;

    for (const struct check_job *job = lane->first; job != NULL; job = job->next) {
        if (!str_equal(str_of(job->client), client))
            continue;
        count++;
        if (job->turn > turn)
            turn = job->turn;
    }
    return count < CHECK_MAX_PER_CLIENT ? turn + 1 : 0;
}

static struct check_job *add_check_job(struct check_lane *lane, const struct check_request *request)
{
    uint64_t turn = next_turn(lane, request->client);
    struct check_job *job, **link = &lane->first;

    if (turn == 0 || lane->count >= CHECK_MAX_QUEUED)
        return NULL;
    job = calloc(1, sizeof *job + request->key.len);
    if (job == NULL)
        return NULL;
    job->turn = turn;
    job->key_len = request->key.len;
    memcpy(job->client, request->client.p, request->client.len);
    memcpy(job->key, request->key.p, request->key.len);
    while (*link != NULL && (*link)->turn <= turn)
        link = &(*link)->next;
    job->next = *link;
    *link = job;
    lane->count++;
    return job;
}

/* ---- the process of a lane ---- */

static void end_checker(struct check_lane *lane)
{
    child_free(lane->child);
    lane->child = NULL;
}

static bool on_checker_frame(void *owner, struct str frame, int fd);
static void on_checker_event(void *owner, enum child_event event, const char *words);

static int start_checker(struct check_lane *lane, struct err *e)
{
    const struct check_queue_options *options = &lane->queue->options;
    const struct child_options child = {
        .loop = options->loop,
        .process = {.name = lane->name,
                    .run = check_worker_run,
                    .niceness = lane->niceness,
                    .ctx = options->dir},
        .policy = {.stuck_ms = options->stuck_ms, .kill_ms = CLOCK_NEVER_MS},
        .on_frame = on_checker_frame,
        .on_event = on_checker_event,
        .owner = lane};

    lane->child = child_start(&child, e);
    return lane->child == NULL ? -1 : 0;
}

/* An object that is gone meanwhile costs no job. */
static int send_check_job(struct check_lane *lane, const struct check_job *job, struct err *e)
{
    struct buf frame = {0};
    int result = -1;

    if (lane->child != NULL && !child_takes_messages(lane->child))
        end_checker(lane);
    if (lane->child == NULL && start_checker(lane, e) != 0)
        return -1;
    crew_frame_put(&frame, CREW_FRAME_CHECK, ++lane->last_id,
                   (struct str){job->key, job->key_len});
    if (buf_check(&frame, e) == 0)
        result = child_send(lane->child, buf_str(&frame), -1, e);
    buf_free(&frame);
    child_watch(lane->child, true);
    return result;
}

static void finish_check_job(struct check_lane *lane)
{
    struct check_job *job = lane->running;

    lane->running = NULL;
    lane->idle_since_ms = loop_now_ms(lane->queue->options.loop);
    if (lane->child != NULL)
        child_watch(lane->child, false);
    if (job != NULL)
        answer_due_waiters(lane->queue, job, CLOCK_NEVER_MS);
    free_check_job(job);
}

static void run_next_job(struct check_lane *lane)
{
    struct err e = {0};

    while (lane->running == NULL && lane->first != NULL) {
        struct check_job *job = lane->first;
        lane->first = job->next;
        lane->count--;
        lane->turn = job->turn;
        lane->running = job;
        if (send_check_job(lane, job, &e) == 0)
            return;
        log_line(LOG_WARN, "%s: %s", lane->name, e.msg);
        end_checker(lane);
        finish_check_job(lane);
    }
}

/* PONG: it still reads. */
static bool on_checker_frame(void *owner, struct str frame, int fd)
{
    struct check_lane *lane = owner;
    enum crew_frame type;
    struct str rest;
    uint64_t id;

    if (fd >= 0)
        close(fd);
    if (!crew_frame_parse(frame, &type, &id, &rest) ||
        (type != CREW_FRAME_CHECKED && type != CREW_FRAME_PONG))
        return false;
    if (type != CREW_FRAME_CHECKED || id != lane->last_id)
        return true;
    finish_check_job(lane);
    run_next_job(lane);
    return true;
}

/* A process that hangs in a dead file system is let go, with everything that waits for it. */
static void give_up_lane(struct check_lane *lane)
{
    end_checker(lane);
    lane->rest_until_ms = loop_now_ms(lane->queue->options.loop) + REST_MS;
    finish_check_job(lane);
    while (lane->first != NULL) {
        lane->running = lane->first;
        lane->first = lane->running->next;
        finish_check_job(lane);
    }
    lane->count = 0;
}

static void on_checker_event(void *owner, enum child_event event, const char *words)
{
    struct check_lane *lane = owner;

    if (event == CHILD_ANSWERS)
        return;
    if (event == CHILD_STUCK) {
        log_line(LOG_WARN, "%s process stuck: %s; does the data directory answer?", lane->name,
                 words);
        give_up_lane(lane);
        return;
    }
    log_line(LOG_WARN, "%s process %s", lane->name, words);
    end_checker(lane);
    finish_check_job(lane);
    run_next_job(lane);
}

/* ---- time ---- */

static bool look_after_lane(struct check_lane *lane, int64_t now)
{
    if (lane->running != NULL)
        answer_due_waiters(lane->queue, lane->running, now);
    for (struct check_job *job = lane->first; job != NULL; job = job->next)
        answer_due_waiters(lane->queue, job, now);
    if (lane->running == NULL && lane->child != NULL && now - lane->idle_since_ms >= IDLE_MS)
        end_checker(lane);
    return lane->running != NULL || lane->child != NULL;
}

static void set_check_timer(struct check_queue *queue)
{
    struct loop *loop = queue->options.loop;

    if (loop_timer_at_ms(&queue->timer) == CLOCK_NEVER_MS)
        loop_set_timer(loop, &queue->timer, loop_now_ms(loop) + TICK_MS);
}

static void on_check_time(void *owner)
{
    struct check_queue *queue = owner;
    bool is_busy = false;

    for (size_t i = 0; i < LANES; i++)
        is_busy |= look_after_lane(&queue->lanes[i], loop_now_ms(queue->options.loop));
    if (is_busy)
        set_check_timer(queue);
}

/* ---- what the hub calls ---- */

struct check_queue *check_queue_new(const struct check_queue_options *options, struct err *e)
{
    static const struct {
        const char *name;
        int niceness;
    } lanes[LANES] = {{"check small", CHECK_SMALL_NICENESS}, {"check large", CHECK_LARGE_NICENESS}};
    struct check_queue *queue = calloc(1, sizeof *queue);

    if (queue == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    queue->options = *options;
    queue->timer = (struct loop_timer){.call = on_check_time, .owner = queue};
    for (size_t i = 0; i < LANES; i++)
        queue->lanes[i] = (struct check_lane){
            .queue = queue, .name = lanes[i].name, .niceness = lanes[i].niceness};
    return queue;
}

void check_queue_free(struct check_queue *queue)
{
    if (queue == NULL)
        return;
    loop_clear_timer(queue->options.loop, &queue->timer);
    for (size_t i = 0; i < LANES; i++) {
        struct check_lane *lane = &queue->lanes[i];
        end_checker(lane);
        free_check_job(lane->running);
        while (lane->first != NULL) {
            struct check_job *job = lane->first;
            lane->first = job->next;
            free_check_job(job);
        }
    }
    free(queue);
}

/* False when nobody can wait for it. */
static bool add_check_waiter(struct check_queue *queue, struct check_job *job, uint64_t worker,
                             uint64_t id)
{
    struct check_waiter *waiter = id == 0 ? NULL : calloc(1, sizeof *waiter);

    if (waiter == NULL)
        return id == 0;
    *waiter = (struct check_waiter){job->waiters, worker, id,
                                    loop_now_ms(queue->options.loop) + queue->options.wait_ms};
    job->waiters = waiter;
    return true;
}

void check_queue_ask(struct check_queue *queue, uint64_t worker, uint64_t id, struct str bytes)
{
    const struct check_waiter now = {.worker = worker, .id = id};
    struct check_request request;
    struct check_job *job = NULL;
    struct check_lane *lane = NULL;

    if (check_request_parse(bytes, &request)) {
        lane = &queue->lanes[request.size_bytes >= CHECK_LARGE_BYTES];
        job = find_check_job(lane, request.key);
        if (job == NULL && loop_now_ms(queue->options.loop) >= lane->rest_until_ms)
            job = add_check_job(lane, &request);
    }
    if ((job == NULL || !add_check_waiter(queue, job, worker, id)) && id != 0)
        answer_check_waiter(queue, &now);
    if (job == NULL)
        return;
    run_next_job(lane);
    set_check_timer(queue);
}
