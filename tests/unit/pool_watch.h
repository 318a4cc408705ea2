/* A pool of workers that do as their jobs say, and what it told its owner. */
#ifndef UNIT_POOL_WATCH_H
#define UNIT_POOL_WATCH_H

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/frame.h"
#include "proc/pool.h"
#include "rounds.h"
#include "unit.h"

enum { MAX_ID = 4096, GIVE_UP_MS = 30000, SILENCE_MS = 200, LARGE = 60000 };

struct watcher {
    struct loop_clock clock; /* the real one */
    struct loop *loop;
    struct loop_fd signals;
    struct loop_timer patience;
    struct pool *pool;
    bool has_stepped, is_late;
    unsigned rooms, idle_ends;
    unsigned answers[MAX_ID], lost[MAX_ID], hints[MAX_ID];
    int64_t worker[MAX_ID];
    size_t answered, lost_count;
    size_t lost_together; /* with the last one */
    char reason[256];
    uint64_t submit_next; /* inside of the callbacks; 0: nothing */
    uint64_t abandon_next;
};

static inline void say(int fd, int64_t id, bool is_last)
{
    struct buf b = {0};

    json_open(&b, '{');
    json_put_int(&b, "id", id);
    json_put_int(&b, "pid", getpid());
    json_put_bool(&b, "last", is_last);
    json_close(&b, '}');
    frame_send(fd, buf_str(&b), -1, ERR_IGNORED);
    buf_free(&b);
}

static inline void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* A worker that does as its jobs say. */
static inline int work(int fd, void *ctx)
{
    struct buf b = {0};
    struct str type;
    bool is_over = false;
    int64_t id;

    (void)ctx;
    while (!is_over && frame_receive(fd, &b, NULL, ERR_IGNORED) == IO_DONE) {
        struct json *job = json_parse(buf_str(&b), JSON_STRICT, ERR_IGNORED);
        if (!json_int(json_get(job, "id"), &id) || !json_str(json_get(job, "type"), &type))
            return 9;
        if (str_equal(type, STR("answer")))
            say(fd, id, true);
        else if (str_equal(type, STR("two")))
            say(fd, id, false), say(fd, id, true);
        else if (str_equal(type, STR("crash")))
            kill(getpid(), SIGSEGV);
        else if (str_equal(type, STR("hang")))
            wait_for_ever();
        else if (str_equal(type, STR("hint")))
            say(fd, id, false);
        else if (str_equal(type, STR("hint, hang")))
            say(fd, id, false), wait_for_ever();
        else if (str_equal(type, STR("stop")))
            kill(getpid(), SIGSTOP);
        else if (str_equal(type, STR("nonsense")))
            frame_send(fd, STR("{\"id\":"), -1, ERR_IGNORED);
        else if (str_equal(type, STR("odd")))
            frame_send(fd, STR("{\"id\":2,\"odd\":true}"), -1, ERR_IGNORED);
        else if (str_equal(type, STR("cancel")))
            say(fd, id, true);
        /* "wait": answered when a "cancel" of the same id comes */
        is_over = str_equal(type, STR("exit"));
        json_free(job);
    }
    buf_free(&b);
    return is_over ? 7 : 0;
}

static inline int submit(struct watcher *w, uint64_t id, const char *type)
{
    struct buf b = {0};
    struct err e = {0};

    json_open(&b, '{');
    json_put_int(&b, "id", (int64_t)id);
    json_put_str(&b, "type", str_of(type));
    json_close(&b, '}');
    int result = pool_submit(w->pool, id, buf_str(&b), &e);
    buf_free(&b);
    return result;
}

static inline void act(struct watcher *w)
{
    uint64_t id = w->submit_next, gone = w->abandon_next;

    w->submit_next = w->abandon_next = 0;
    if (gone != 0)
        pool_abandon(w->pool, gone);
    if (id != 0 && submit(w, id, "answer") != 0)
        w->submit_next = id;
}

static inline enum pool_said on_message(void *owner, uint64_t id, const struct json *message)
{
    struct watcher *w = owner;
    bool is_last = false;

    json_bool(json_get(message, "last"), &is_last);
    json_int(json_get(message, "pid"), &w->worker[id]);
    w->hints[id] += !is_last;
    w->answers[id] += is_last;
    w->answered += is_last;
    act(w);
    if (json_get(message, "odd") != NULL)
        return POOL_NONSENSE;
    return is_last ? POOL_IS_LAST : POOL_GOES_ON;
}

static inline void on_lost(void *owner, uint64_t id, const char *reason)
{
    struct watcher *w = owner;

    w->lost[id]++;
    w->lost_count++;
    w->lost_together = pool_lost_together(w->pool);
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    act(w);
}

static inline void on_room(void *owner)
{
    ((struct watcher *)owner)->rooms++;
}

static inline void on_idle_end(void *owner, const char *reason)
{
    struct watcher *w = owner;

    w->idle_ends++;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
}

static inline void on_signal(void *owner)
{
    struct watcher *w = owner;

    while (process_next_signal(w->signals.fd) != 0)
        process_reap(NULL, NULL);
}

static inline void on_patience(void *owner)
{
    ((struct watcher *)owner)->is_late = true;
}

/* The rest of the options is the watcher's. */
static inline struct watcher *watch_with(struct pool_options options)
{
    static const int numbers[] = {SIGCHLD};
    struct watcher *w = calloc(1, sizeof *w);
    struct err e = {0};

    w->loop = loop_new(&w->clock, &e);
    assert_non_null(w->loop);
    w->patience = (struct loop_timer){.call = on_patience, .owner = w};
    w->signals = (struct loop_fd){
        .fd = process_signal_fd(numbers, 1, &e), .call = on_signal, .owner = w};
    assert_int_equal(loop_add(w->loop, &w->signals, LOOP_READ, &e), 0);
    options.loop = w->loop;
    options.process = (struct process_options){.name = "test-worker", .run = work};
    options.on_message = on_message;
    options.on_lost = on_lost;
    options.on_room = on_room;
    options.on_idle_end = on_idle_end;
    options.owner = w;
    w->pool = pool_new(&options, &e);
    assert_non_null(w->pool);
    return w;
}

static inline struct watcher *watch(unsigned workers, unsigned depth, int64_t timeout_ms,
                             unsigned max_stuck)
{
    return watch_with((struct pool_options){.max_workers = workers,
                                            .depth = depth,
                                            .job_timeout_ms = timeout_ms,
                                            .max_stuck = max_stuck});
}

/* Everything that the pool started must be gone, and nothing of it be left in the loop. */
static inline void end(struct watcher *w)
{
    loop_clear_timer(w->loop, &w->patience);
    pool_free(w->pool);
    loop_remove(w->loop, &w->signals);
    assert_true(rounds_nothing_is_left(w->loop, &w->clock));
    close(w->signals.fd);
    loop_free(w->loop);
    assert_int_equal(unit_wait_for_children(NULL), 0);
    free(w);
}

static inline bool has_stepped(void *owner)
{
    struct watcher *w = owner;

    w->has_stepped = !w->has_stepped;
    return !w->has_stepped;
}

/* One round of the loop. */
static inline void step_once(struct watcher *w)
{
    struct err e = {0};

    loop_set_timer(w->loop, &w->patience, clock_now_ms() + GIVE_UP_MS);
    w->has_stepped = false;
    assert_int_equal(loop_run_until(w->loop, has_stepped, w, &e), 0);
    assert_false(w->is_late);
}

/* A worker may end while jobs are given to it: then there is no room until that was seen. */
static inline void submit_surely(struct watcher *w, uint64_t id, const char *type)
{
    while (submit(w, id, type) != 0)
        step_once(w);
}

/* Steps until as many jobs were answered and lost. */
static inline void run(struct watcher *w, size_t answered, size_t lost)
{
    int64_t end_ms = clock_now_ms() + GIVE_UP_MS;

    while (w->answered < answered || w->lost_count < lost) {
        step_once(w);
        assert_true(clock_now_ms() < end_ms);
    }
    assert_int_equal(w->answered, answered);
    assert_int_equal(w->lost_count, lost);
}

/* The workers of a test that failed are not those of the next one. */
#define POOL_TEST(test) cmocka_unit_test_teardown(test, unit_wait_for_children)

#endif
