/* Look-ups: literals without a child, names in one, and a child that is silent or dies. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/resolve.h"
#include "proc/child.h"
#include "waker.h"

enum { LONG_MS = 60000 };

static int start(struct resolve *r, struct str host, uint16_t port, int64_t deadline_ms,
                 struct err *e)
{
    const struct loop_wake wake = waker_of(&waker);

    return resolve_start(r, &wake, host, port, deadline_ms, e);
}

static enum io run(struct resolve *r, struct addr_list *out, struct err *e)
{
    enum io io;

    while ((io = resolve_step(r, clock_now_ms(), out, e)) == IO_WANT_READ)
        waker_wait(&waker);
    return io;
}

static void no_child_is_left(void)
{
    assert_int_equal(unit_wait_for_children(NULL), 0);
    assert_int_equal(errno, ECHILD);
}

static void literals_need_no_child(void **state)
{
    static const char *const cases[] = {"127.0.0.1", "::1"};
    static const char *const wants[] = {"127.0.0.1:81", "[::1]:81"};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct resolve r;
        struct addr_list found;
        struct buf text = {0};
        struct err e = {0};
        assert_int_equal(start(&r, str_of(cases[i]), 81, CLOCK_NEVER_MS, &e), 0);
        unit_true(cases[i], r.first.child == NULL);
        /* Not from within the start, but soon. */
        unit_true(cases[i], !waker.is_woken && waker_wait_ms(&waker, 0));
        waker.is_woken = false;
        unit_true(cases[i], resolve_step(&r, 0, &found, &e) == IO_DONE && found.count == 1);
        addr_put(&text, &found.items[0]);
        unit_equal(cases[i], buf_cstr(&text), wants[i]);
        resolve_cancel(&r);
        buf_free(&text);
    }
}

static void a_name_is_looked_up(void **state)
{
    struct resolve r;
    struct addr_list found = {0};
    struct err e = {0};
    bool is_loopback = false;

    (void)state;
    assert_int_equal(start(&r, STR("localhost"), 82, clock_now_ms() + LONG_MS, &e), 0);
    assert_non_null(r.first.child);
    assert_int_equal(run(&r, &found, &e), IO_DONE);
    for (size_t i = 0; i < found.count; i++) {
        struct buf text = {0};
        addr_put(&text, &found.items[i]);
        is_loopback = is_loopback || str_equal(buf_str(&text), STR("127.0.0.1:82")) ||
                      str_equal(buf_str(&text), STR("[::1]:82"));
        buf_free(&text);
    }
    assert_true(is_loopback);
    resolve_cancel(&r);
    no_child_is_left();
}

/* Its child is stopped before it has an answer: one that was faster is asked again. */
static void start_silent(struct resolve *r, int64_t patience_ms)
{
    bool is_silent = false;

    while (!is_silent) {
        struct err e = {0};
        int status;
        assert_int_equal(start(r, STR("x.invalid"), 80, clock_now_ms() + patience_ms, &e), 0);
        kill(child_pid(r->first.child), SIGSTOP);
        is_silent = waitpid(child_pid(r->first.child), &status, WUNTRACED) > 0 &&
                    WIFSTOPPED(status) && waker_wait_ms(&waker, WAKER_PATIENCE_MS) &&
                    !r->is_found && !r->first.has_failed;
        if (!is_silent)
            resolve_cancel(r);
    }
}

static void failures_name_the_host(void **state)
{
    static const struct {
        const char *name;
        bool kills_child, is_late;
        const char *want;
    } cases[] = {
        {"the child is killed", true, false,
         "cannot find the address of x.invalid: the look-up process killed by SIGKILL: out of "
         "memory, or a limit of this host?"},
        {"the time is up", false, true,
         "cannot find the address of x.invalid: the name servers do not answer, or fail "
         "(is this host connected? /etc/resolv.conf names them)"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct resolve r;
        struct addr_list found = {0};
        struct err e = {0};
        start_silent(&r, cases[i].is_late ? 0 : LONG_MS);
        if (cases[i].kills_child)
            kill(child_pid(r.first.child), SIGKILL);
        unit_true(cases[i].name, run(&r, &found, &e) == IO_ERR);
        unit_true(cases[i].name, e.code == ERR_NETWORK);
        unit_equal(cases[i].name, e.msg, cases[i].want);
        resolve_cancel(&r);
        no_child_is_left();
    }
}

static void a_cancelled_look_up_leaves_nothing(void **state)
{
    struct resolve r, zeros = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(start(&r, STR("x.invalid"), 80, CLOCK_NEVER_MS, &e), 0);
    resolve_cancel(&r);
    resolve_cancel(&r);
    resolve_cancel(&zeros);
    no_child_is_left();
}

/* The owner is woken when the second child is due, and at the deadline. */
static void silence_wakes_in_time(void **state)
{
    struct resolve r;
    struct addr_list found;
    struct err e = {0};
    int64_t begun = clock_now_ms();

    (void)state;
    start_silent(&r, 2 * RESOLVE_SECOND_MS);
    while (!r.has_second) {
        assert_int_equal(resolve_step(&r, clock_now_ms(), &found, &e), IO_WANT_READ);
        if (!r.has_second)
            waker_wait(&waker);
    }
    assert_true(clock_now_ms() >= begun + RESOLVE_SECOND_MS);
    kill(child_pid(r.second.child), SIGSTOP);
    assert_int_equal(run(&r, &found, &e), IO_ERR);
    assert_int_equal(e.code, ERR_NETWORK);
    no_child_is_left();
}

/* A loop that cannot watch the child: the start says so, and leaves nothing. */
static void no_room_to_watch(void **state)
{
    struct loop *other = rounds_loop_without_room();
    const struct loop_wake wake = {other, waker_call, &waker};
    struct resolve r;
    struct err e = {0};

    (void)state;
    assert_int_equal(resolve_start(&r, &wake, STR("x.invalid"), 80, CLOCK_NEVER_MS, &e), -1);
    unit_true("says so", strstr(e.msg, "cannot watch descriptor") != NULL);
    resolve_cancel(&r);
    no_child_is_left();
    loop_free(other);
}

static void bad_names_are_refused(void **state)
{
    char longest[256];
    struct resolve r;
    struct err e = {0};

    (void)state;
    memset(longest, 'a', sizeof longest);
    assert_int_equal(start(&r, (struct str){longest, 256}, 80, CLOCK_NEVER_MS, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    assert_int_equal(start(&r, STR(""), 80, CLOCK_NEVER_MS, &e), -1);
    assert_int_equal(start(&r, STR("a\0b"), 80, CLOCK_NEVER_MS, &e), -1);
    resolve_cancel(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(literals_need_no_child), WAKER_TEST(a_name_is_looked_up),
        WAKER_TEST(failures_name_the_host), WAKER_TEST(a_cancelled_look_up_leaves_nothing),
        WAKER_TEST(bad_names_are_refused),  WAKER_TEST(silence_wakes_in_time),
        WAKER_TEST(no_room_to_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
