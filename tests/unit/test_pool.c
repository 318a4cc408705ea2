/* A pool of workers: jobs given, told, given up; room; limits. */
#include <sys/resource.h>

#include "pool_watch.h"

static void limits_are_checked(void **state)
{
    static const struct {
        const char *name;
        unsigned workers, depth;
    } cases[] = {{"no worker", 0, 1},
                 {"too many workers", POOL_MAX_WORKERS + 1, 1},
                 {"no depth", 1, 0},
                 {"too deep", 1, POOL_MAX_DEPTH + 1}};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct pool_options o = {.max_workers = cases[i].workers, .depth = cases[i].depth};
        unit_true(cases[i].name, pool_new(&o, &e) == NULL && e.code == ERR_USAGE);
    }
    pool_free(NULL);
}

static void many_jobs(void **state)
{
    struct watcher *w = watch(3, 4, 0, 1);
    uint64_t next = 1;

    (void)state;
    while (w->answered < 1000) {
        while (next <= 1000 && pool_has_room(w->pool))
            assert_int_equal(submit(w, next, next % 2 ? "answer" : "two"), 0), next++;
        assert_true(pool_jobs(w->pool) <= 12);
        step_once(w);
    }
    for (int id = 1; id <= 1000; id++) {
        assert_int_equal(w->answers[id], 1);
        assert_int_equal(w->hints[id], id % 2 == 0);
    }
    assert_int_equal(w->lost_count, 0);
    assert_int_equal(pool_jobs(w->pool), 0);
    assert_true(pool_workers(w->pool) <= 3);
    end(w);
}

static void a_full_pool_refuses(void **state)
{
    struct watcher *w = watch(2, 2, 0, 1);

    (void)state;
    for (uint64_t id = 1; id <= 4; id++) {
        assert_true(pool_has_room(w->pool));
        assert_int_equal(submit(w, id, "wait"), 0);
        assert_int_equal(pool_workers(w->pool), id <= 2 ? 1 : 2);
    }
    assert_false(pool_has_room(w->pool));
    assert_int_equal(submit(w, 5, "wait"), -1);
    assert_int_equal(pool_jobs(w->pool), 4);
    end(w);
}

/* Each worker has a job before one has two. */
static void workers_first(void **state)
{
    struct watcher *w =
        watch_with((struct pool_options){.max_workers = 2, .depth = 2, .has_workers_first = true});

    (void)state;
    for (uint64_t id = 1; id <= 4; id++) {
        assert_true(pool_has_room(w->pool));
        assert_int_equal(submit(w, id, "wait"), 0);
        assert_int_equal(pool_workers(w->pool), id == 1 ? 1 : 2);
    }
    assert_false(pool_has_room(w->pool));
    end(w);
}

static void abandoned_jobs_say_nothing(void **state)
{
    struct watcher *w = watch(2, 2, 0, 1);

    (void)state;
    submit(w, 1, "hint, hang");
    while (w->hints[1] == 0)
        step_once(w);
    pool_abandon(w->pool, 1);
    pool_abandon(w->pool, 1);
    pool_abandon(w->pool, 77);
    assert_int_equal(pool_jobs(w->pool), 0);
    assert_int_equal(pool_workers(w->pool), 0);
    submit(w, 2, "two");
    submit(w, 3, "answer");
    pool_abandon(w->pool, 2);
    assert_int_equal(pool_jobs(w->pool), 1);
    run(w, 1, 0);
    assert_int_equal(w->hints[2] + w->answers[2], 0);
    assert_int_equal(pool_workers(w->pool), 1);
    submit(w, 4, "answer"), submit(w, 5, "answer");
    run(w, 3, 0);
    assert_int_equal(w->worker[5], w->worker[3]);
    end(w);
}

/* The last that a worker has is given up after all others are done: then it is of no use. */
static void abandoned_behind_another(void **state)
{
    struct watcher *w = watch(1, 2, 0, 1);

    (void)state;
    submit(w, 1, "answer");
    submit(w, 2, "hang");
    pool_abandon(w->pool, 2);
    run(w, 1, 0);
    assert_int_equal(pool_workers(w->pool), 0);
    submit(w, 3, "answer");
    run(w, 2, 0);
    end(w);
}

static void callbacks_may_submit_and_abandon(void **state)
{
    struct watcher *w = watch(2, 4, 0, 1);

    (void)state;
    w->submit_next = 10;
    submit(w, 1, "answer");
    run(w, 2, 0);
    assert_int_equal(w->answers[10], 1);
    w->submit_next = 11;
    submit(w, 2, "crash");
    run(w, 3, 1);
    assert_int_equal(w->answers[11], 1);
    /* Abandoning the job that the callback is about, of a worker that has no other. */
    w->abandon_next = 3;
    submit(w, 3, "hint, hang");
    while (w->hints[3] == 0)
        step_once(w);
    assert_int_equal(pool_jobs(w->pool), 0);
    /* Both jobs are lost with their worker; the first one's callback gives the second up. */
    submit(w, 4, "wait");
    submit(w, 5, "wait");
    assert_int_equal(pool_send(w->pool, 5, STR("{\"id\":6,\"type\":\"crash\"}"), ERR_IGNORED), 0);
    w->abandon_next = 5;
    run(w, 3, 2);
    assert_int_equal(w->lost[5], 0);
    assert_int_equal(pool_jobs(w->pool), 0);
    end(w);
}

static void a_message_follows_its_job(void **state)
{
    struct watcher *w = watch(1, 2, 0, 1);
    struct err e = {0};

    (void)state;
    submit(w, 1, "wait");
    assert_int_equal(pool_send(w->pool, 2, STR("{\"id\":2,\"type\":\"cancel\"}"), &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(pool_send(w->pool, 1, STR("{\"id\":1,\"type\":\"cancel\"}"), &e), 0);
    run(w, 1, 0);
    end(w);
}

/* One that does not leave by itself is killed, and that is told. */
static void stopped_workers_leave_too(void **state)
{
    struct watcher *w = watch_with((struct pool_options){
        .max_workers = 1, .depth = 1, .idle_ms = SILENCE_MS, .max_stuck = 1});

    (void)state;
    submit(w, 1, "answer");
    run(w, 1, 0);
    kill((pid_t)w->worker[1], SIGSTOP);
    while (w->idle_ends == 0)
        step_once(w);
    assert_string_equal(w->reason,
                        "the worker process was killed: did not leave when it was told to");
    assert_int_equal(pool_workers(w->pool), 0);
    while (kill((pid_t)w->worker[1], 0) == 0)
        step_once(w);
    end(w);
}

static void idle_workers_leave(void **state)
{
    struct watcher *w = watch_with((struct pool_options){
        .max_workers = 2, .depth = 1, .idle_ms = SILENCE_MS, .max_stuck = 1});

    (void)state;
    submit(w, 1, "answer");
    submit(w, 2, "wait");
    run(w, 1, 0);
    assert_int_equal(pool_workers(w->pool), 2);
    while (pool_workers(w->pool) == 2)
        step_once(w);
    assert_int_equal(pool_workers(w->pool), 1);
    while (kill((pid_t)w->worker[1], 0) == 0)
        step_once(w);
    assert_int_equal(w->idle_ends, 0);
    assert_true(pool_has_room(w->pool));
    assert_int_equal(pool_send(w->pool, 2, STR("{\"id\":2,\"type\":\"cancel\"}"), ERR_IGNORED), 0);
    run(w, 2, 0);
    end(w);
}

/* With nothing to do and nobody who leaves, nothing wakes the loop. */
static void idle_workers_cost_no_wakeups(void **state)
{
    struct watcher *w = watch(2, 1, SILENCE_MS, 1);

    (void)state;
    submit(w, 1, "answer");
    submit(w, 2, "answer");
    run(w, 2, 0);
    loop_clear_timer(w->loop, &w->patience);
    rounds_run(w->loop, 3);
    assert_true(rounds_nothing_is_left(w->loop, &w->clock));
    end(w);
}

/* Whoever waits for room learns of it. */
static void room_is_reported(void **state)
{
    struct watcher *w = watch(1, 1, 0, 0);

    (void)state;
    submit(w, 1, "answer");
    assert_false(pool_has_room(w->pool));
    while (w->rooms == 0)
        step_once(w);
    assert_true(pool_has_room(w->pool));
    submit(w, 2, "hang");
    pool_abandon(w->pool, 2);
    assert_false(pool_has_room(w->pool));
    for (unsigned rooms = w->rooms; !pool_has_room(w->pool); rooms = w->rooms)
        while (w->rooms == rooms)
            step_once(w);
    end(w);
}

static void no_process_can_be_started(void **state)
{
    struct watcher *w = watch(2, 1, 0, 1);
    struct rlimit before, few;
    struct err e = {0};

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &few);
    int result = pool_submit(w->pool, 1, STR("{\"id\":1,\"type\":\"answer\"}"), &e);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(result, -1);
    unit_true("says why", strstr(e.msg, "Too many open files") != NULL);
    assert_int_equal(pool_jobs(w->pool), 0);
    assert_int_equal(submit(w, 1, "answer"), 0);
    run(w, 1, 0);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(limits_are_checked),
        POOL_TEST(many_jobs),
        POOL_TEST(a_full_pool_refuses),
        POOL_TEST(workers_first),
        POOL_TEST(abandoned_jobs_say_nothing),
        POOL_TEST(abandoned_behind_another),
        POOL_TEST(callbacks_may_submit_and_abandon),
        POOL_TEST(a_message_follows_its_job),
        POOL_TEST(idle_workers_leave),
        POOL_TEST(stopped_workers_leave_too),
        POOL_TEST(idle_workers_cost_no_wakeups),
        POOL_TEST(room_is_reported),
        POOL_TEST(no_process_can_be_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
