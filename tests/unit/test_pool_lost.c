/* Workers of a pool that crash, hang, talk nonsense, read nothing, are stopped and killed. */
#include "pool_watch.h"
#include "proc/child.h"

#define SILENT "the worker process was killed: did not answer for 2"

/* The job at which the worker died is lost, those behind it are done by another. */
static void only_the_job_in_hand_is_lost(void **state)
{
    static const struct {
        const char *type, *reason;
    } cases[] = {{"crash", "the worker process was killed by SIGSEGV: a fault of this program"},
                 {"exit", "the worker process ended with exit status 7"},
                 {"hang", SILENT},
                 {"stop", "the worker process was killed: stopped by SIGSTOP"},
                 {"hint, hang", SILENT},
                 {"nonsense", "the worker process was killed: sent what is no message"},
                 {"odd", "the worker process was killed: sent what is no message"}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct watcher *w = watch(1, 8, SILENCE_MS, 4);
        submit(w, 1, "answer");
        submit(w, 2, cases[i].type);
        for (uint64_t id = 3; id <= 7; id++)
            submit_surely(w, id, "answer");
        run(w, 6, 1);
        w->reason[strlen(cases[i].reason)] = '\0'; /* for how long */
        unit_equal(cases[i].type, w->reason, cases[i].reason);
        unit_true(cases[i].type, w->lost[2] == 1 && w->answers[2] == 0);
        unit_true(cases[i].type, w->lost_together == 1);
        unit_true(cases[i].type, w->worker[1] != w->worker[3] && w->worker[3] == w->worker[7]);
        unit_true(cases[i].type, pool_jobs(w->pool) == 0);
        end(w);
    }
}

/* Each crash costs its own job and nothing is done twice or for ever. */
static void crash_after_crash(void **state)
{
    struct watcher *w = watch(2, 6, 0, 1);

    (void)state;
    for (uint64_t id = 1; id <= 12; id++)
        submit_surely(w, id, id % 3 == 0 ? "answer" : "crash");
    run(w, 4, 8);
    for (int id = 1; id <= 12; id++)
        assert_int_equal(id % 3 == 0 ? w->answers[id] : w->lost[id], 1);
    end(w);
}

/* What a worker was told about, or told of, may have begun: it is not done again by another. */
static void begun_jobs_are_lost_with_the_first(void **state)
{
    struct watcher *w = watch(1, 4, 0, 1);

    (void)state;
    submit(w, 1, "wait");
    submit(w, 2, "wait");
    submit(w, 3, "hint");
    submit(w, 4, "answer");
    while (w->hints[3] == 0)
        step_once(w);
    assert_int_equal(pool_send(w->pool, 2, STR("{\"id\":2,\"type\":\"crash\"}"), ERR_IGNORED), 0);
    run(w, 1, 3);
    assert_int_equal(w->lost_together, 3);
    for (int id = 1; id <= 3; id++)
        assert_int_equal(w->lost[id], 1);
    assert_int_equal(w->answers[4], 1);
    end(w);
}

static void killed_from_outside(void **state)
{
    struct watcher *w = watch(1, 2, 0, 1);

    (void)state;
    submit(w, 1, "hint, hang");
    submit(w, 2, "answer");
    while (w->hints[1] == 0)
        step_once(w);
    kill((pid_t)w->worker[1], SIGKILL);
    run(w, 1, 1);
    assert_int_equal(w->lost[1], 1);
    unit_equal("reason", w->reason,
               "the worker process was killed by SIGKILL: out of memory, or a limit of this host?");
    assert_int_equal(w->answers[2], 1);
    assert_true(w->worker[2] != w->worker[1]);
    end(w);
}

/* A worker that died while it was idle costs nothing. */
static void killed_while_idle(void **state)
{
    struct watcher *w = watch(1, 1, 0, 1);
    siginfo_t info;

    (void)state;
    submit(w, 1, "answer");
    run(w, 1, 0);
    kill((pid_t)w->worker[1], SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)w->worker[1], &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(submit(w, 2, "answer"), 0);
    run(w, 2, 0);
    while (w->idle_ends == 0)
        step_once(w);
    assert_string_equal(w->reason, "the worker process was killed by SIGKILL: out of memory, or a "
                                   "limit of this host?");
    end(w);
}

/* A worker that reads nothing fills its socket: that is no room, not a wait; and what it never read
 * is done by others when it was found silent. */
static void a_full_socket_is_no_room(void **state)
{
    struct watcher *w = watch(1, POOL_MAX_DEPTH, SILENCE_MS, 4);
    struct buf b = {0};
    uint64_t id = 1;

    (void)state;
    submit(w, id++, "hang");
    json_open(&b, '{');
    json_put_str(&b, "type", STR("answer"));
    buf_puts(&b, ",\"padding\":\"");
    for (int i = 0; i < LARGE; i++)
        buf_putc(&b, '-');
    buf_putc(&b, '"');
    size_t len = b.len;
    while (pool_has_room(w->pool) && id < MAX_ID) {
        b.len = len;
        json_put_int(&b, "id", (int64_t)id);
        json_close(&b, '}');
        assert_int_equal(pool_submit(w->pool, id++, buf_str(&b), ERR_IGNORED), 0);
    }
    assert_true(id > 2 && id < 1000);
    assert_int_equal(pool_submit(w->pool, id, STR("{}"), ERR_IGNORED), -1);
    struct err e = {0};
    unsigned told = 0;
    while (told < 1000 && pool_send(w->pool, 1, buf_str(&b), &e) == 0)
        told++;
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_true(told <= CHILD_MAX_UNSENT);
    run(w, id - 2, 1);
    assert_int_equal(w->lost[1], 1);
    buf_free(&b);
    end(w);
}

/* With none to be left behind, a killed worker counts until it is seen to be gone. */
static void stuck_workers_count_in_the_end(void **state)
{
    struct watcher *w = watch(2, 1, 0, 1);

    (void)state;
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(submit(w, id, "hang"), 0);
        pool_abandon(w->pool, id);
    }
    /* Three killed, one of which may be left behind: none of two places is free. */
    assert_false(pool_has_room(w->pool));
    assert_int_equal(submit(w, 4, "answer"), -1);
    while (!pool_has_room(w->pool))
        step_once(w);
    assert_int_equal(submit(w, 4, "answer"), 0);
    run(w, 1, 0);
    end(w);
}

/* Freed with workers that hang, are stopped, and write to a socket that nobody reads. */
static void ends_whatever_its_workers_do(void **state)
{
    struct watcher *w = watch(4, 1, 0, 1);

    (void)state;
    submit(w, 1, "hang");
    submit(w, 2, "stop");
    submit(w, 3, "answer");
    submit(w, 4, "crash");
    end(w);
}

/* However long a worker may be silent: one that is stopped by a signal is lost before. */
static void a_stopped_worker_is_lost(void **state)
{
    struct watcher *w =
        watch_with((struct pool_options){.max_workers = 1, .depth = 2, .stopped_ms = SILENCE_MS});

    (void)state;
    submit(w, 1, "stop");
    submit(w, 2, "answer");
    run(w, 1, 1);
    assert_int_equal(w->lost[1], 1);
    assert_string_equal(w->reason,
                        "the worker process was killed: stopped by SIGSTOP and not continued");
    end(w);
}

/* One that is continued in time is not lost, and looks before that do not count later. */
static void a_continued_worker_is_not_lost(void **state)
{
    struct watcher *w =
        watch_with((struct pool_options){.max_workers = 1, .depth = 1, .stopped_ms = SILENCE_MS});
    siginfo_t info = {.si_pid = 0};

    (void)state;
    submit(w, 1, "stop");
    assert_int_equal(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT), 0);
    for (int look = 0; look < 2; look++)
        step_once(w);
    kill(info.si_pid, SIGCONT);
    assert_int_equal(waitid(P_PID, (id_t)info.si_pid, &info, WCONTINUED), 0);
    for (int look = 0; look < 8; look++)
        step_once(w);
    assert_int_equal(w->lost_count, 0);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(only_the_job_in_hand_is_lost),
        POOL_TEST(crash_after_crash),
        POOL_TEST(begun_jobs_are_lost_with_the_first),
        POOL_TEST(killed_from_outside),
        POOL_TEST(killed_while_idle),
        POOL_TEST(a_full_socket_is_no_room),
        POOL_TEST(stuck_workers_count_in_the_end),
        POOL_TEST(a_stopped_worker_is_lost),
        POOL_TEST(a_continued_worker_is_not_lost),
        POOL_TEST(ends_whatever_its_workers_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
