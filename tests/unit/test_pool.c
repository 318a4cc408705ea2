/* A pool of workers that answer, crash, hang, talk nonsense and are killed. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/frame.h"
#include "proc/pool.h"
#include "unit.h"

enum { MAX_ID = 4096, GIVE_UP_MS = 30000, SILENCE_MS = 200, LARGE = 60000 };

struct watcher {
    struct pool *pool;
    unsigned answers[MAX_ID], lost[MAX_ID], hints[MAX_ID];
    int64_t worker[MAX_ID];
    size_t answered, lost_count;
    char reason[128];
    uint64_t submit_next; /* inside of the callbacks; 0: nothing */
    uint64_t abandon_next;
};

static void say(int fd, int64_t id, bool is_last)
{
    struct buf b = {0};

    json_open(&b, '{');
    json_put_int(&b, "id", id);
    json_put_int(&b, "pid", getpid());
    json_put_bool(&b, "last", is_last);
    json_close(&b, '}');
    frame_send(fd, buf_str(&b), -1, NULL);
    buf_free(&b);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* A worker that does as its jobs say. */
static int work(int fd, void *ctx)
{
    struct buf b = {0};
    struct str type;
    int64_t id;

    (void)ctx;
    while (frame_receive(fd, &b, NULL, NULL) == IO_DONE) {
        struct json *job = json_parse(buf_str(&b), JSON_STRICT, NULL);
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
        else if (str_equal(type, STR("hint, hang")))
            say(fd, id, false), wait_for_ever();
        else if (str_equal(type, STR("stop")))
            kill(getpid(), SIGSTOP);
        else if (str_equal(type, STR("nonsense")))
            frame_send(fd, STR("{\"id\":"), -1, NULL);
        else if (str_equal(type, STR("cancel")))
            say(fd, id, true);
        /* "wait": answered when a "cancel" of the same id comes */
        json_free(job);
    }
    buf_free(&b);
    return 0;
}

static int submit(struct watcher *w, uint64_t id, const char *type)
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

static void act(struct watcher *w)
{
    uint64_t id = w->submit_next, gone = w->abandon_next;

    w->submit_next = w->abandon_next = 0;
    if (gone != 0)
        pool_abandon(w->pool, gone);
    if (id != 0 && submit(w, id, "answer") != 0)
        w->submit_next = id;
}

static bool on_message(void *owner, uint64_t id, const struct json *message)
{
    struct watcher *w = owner;
    bool is_last = false;

    json_bool(json_get(message, "last"), &is_last);
    json_int(json_get(message, "pid"), &w->worker[id]);
    w->hints[id] += !is_last;
    w->answers[id] += is_last;
    w->answered += is_last;
    act(w);
    return is_last;
}

static void on_lost(void *owner, uint64_t id, const char *reason)
{
    struct watcher *w = owner;

    w->lost[id]++;
    w->lost_count++;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    act(w);
}

static struct watcher *watch(unsigned workers, unsigned depth, int64_t timeout_ms,
                             unsigned max_stuck)
{
    struct watcher *w = calloc(1, sizeof *w);
    struct err e = {0};
    struct pool_options options = {.process = {.name = "test-worker", .run = work},
                                   .max_workers = workers,
                                   .depth = depth,
                                   .job_timeout_ms = timeout_ms,
                                   .max_stuck = max_stuck,
                                   .on_message = on_message,
                                   .on_lost = on_lost,
                                   .owner = w};
    w->pool = pool_new(&options, &e);
    assert_non_null(w->pool);
    return w;
}

/* Everything that the pool started must be gone. */
static void end(struct watcher *w)
{
    int status;

    pool_free(w->pool);
    while (waitpid(-1, &status, 0) > 0)
        continue;
    free(w);
}

static void step_once(struct watcher *w)
{
    struct pollset set = {0};
    struct err e = {0};

    pool_poll(w->pool, &set);
    assert_true(set.count > 0 || set.has_deadline);
    pollset_wake_at(&set, clock_now_ms() + GIVE_UP_MS);
    assert_true(pollset_wait(&set, &e) >= 0);
    pool_step(w->pool, clock_now_ms());
    pollset_free(&set);
}

/* Steps until as many jobs were answered and lost. */
static void run(struct watcher *w, size_t answered, size_t lost)
{
    int64_t end_ms = clock_now_ms() + GIVE_UP_MS;

    while (w->answered < answered || w->lost_count < lost) {
        step_once(w);
        assert_true(clock_now_ms() < end_ms);
    }
    assert_int_equal(w->answered, answered);
    assert_int_equal(w->lost_count, lost);
}

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

/* The job at which the worker died is lost, those behind it are done by another. */
static void only_the_job_in_hand_is_lost(void **state)
{
    static const struct {
        const char *type, *reason;
    } cases[] = {{"crash", "the worker process ended"},
                 {"hang", "no answer for 0 s"},
                 {"stop", "no answer for 0 s"},
                 {"hint, hang", "no answer for 0 s"},
                 {"nonsense", "the worker process sent what is no message"}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct watcher *w = watch(1, 8, SILENCE_MS, 4);
        submit(w, 1, "answer");
        submit(w, 2, cases[i].type);
        for (uint64_t id = 3; id <= 7; id++)
            submit(w, id, "answer");
        run(w, 6, 1);
        unit_equal(cases[i].type, w->reason, cases[i].reason);
        unit_true(cases[i].type, w->lost[2] == 1 && w->answers[2] == 0);
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
        assert_int_equal(submit(w, id, id % 3 == 0 ? "answer" : "crash"), 0);
    run(w, 4, 8);
    for (int id = 1; id <= 12; id++)
        assert_int_equal(id % 3 == 0 ? w->answers[id] : w->lost[id], 1);
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
    assert_int_equal(submit(w, 2, "answer"), -1); /* one worker at most, and that one is dead */
    pool_step(w->pool, clock_now_ms());
    assert_int_equal(pool_workers(w->pool), 0);
    assert_int_equal(submit(w, 2, "answer"), 0);
    run(w, 2, 0);
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
    assert_int_equal(pool_tell(w->pool, 5, STR("{\"id\":6,\"type\":\"crash\"}"), NULL), 0);
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
    assert_int_equal(pool_tell(w->pool, 2, STR("{\"id\":2,\"type\":\"cancel\"}"), &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(pool_tell(w->pool, 1, STR("{\"id\":1,\"type\":\"cancel\"}"), &e), 0);
    run(w, 1, 0);
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
        assert_int_equal(pool_submit(w->pool, id++, buf_str(&b), NULL), 0);
    }
    assert_true(id > 2 && id < 1000);
    assert_int_equal(pool_submit(w->pool, id, STR("{}"), NULL), -1);
    struct err e = {0};
    unsigned told = 0;
    while (told < 1000 && pool_tell(w->pool, 1, buf_str(&b), &e) == 0)
        told++;
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_true(told <= POOL_MAX_UNSENT);
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

static void idle_workers_leave(void **state)
{
    struct watcher *w = watch(2, 1, 0, 1);
    int64_t now;

    (void)state;
    submit(w, 1, "answer");
    submit(w, 2, "wait");
    run(w, 1, 0);
    now = clock_now_ms();
    pool_trim(w->pool, now, 60000);
    assert_int_equal(pool_workers(w->pool), 2);
    pool_trim(w->pool, now + 60000, 60000);
    assert_int_equal(pool_workers(w->pool), 1);
    int status = -1;
    assert_int_equal(waitpid((pid_t)w->worker[1], &status, 0), w->worker[1]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(pool_has_room(w->pool));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_checked),
        cmocka_unit_test(many_jobs),
        cmocka_unit_test(a_full_pool_refuses),
        cmocka_unit_test(only_the_job_in_hand_is_lost),
        cmocka_unit_test(crash_after_crash),
        cmocka_unit_test(killed_from_outside),
        cmocka_unit_test(killed_while_idle),
        cmocka_unit_test(abandoned_jobs_say_nothing),
        cmocka_unit_test(abandoned_behind_another),
        cmocka_unit_test(callbacks_may_submit_and_abandon),
        cmocka_unit_test(a_message_follows_its_job),
        cmocka_unit_test(a_full_socket_is_no_room),
        cmocka_unit_test(stuck_workers_count_in_the_end),
        cmocka_unit_test(idle_workers_leave),
        cmocka_unit_test(no_process_can_be_started),
        cmocka_unit_test(ends_whatever_its_workers_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
