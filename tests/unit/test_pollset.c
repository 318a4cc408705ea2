/* What a pollset waits for, and for how long. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/pollset.h"
#include "unit.h"

static void tells_which_is_ready(void **state)
{
    struct pollset set = {0};
    struct err e = {0};
    int a[2], b[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    assert_int_equal(write(a[1], "x", 1), 1);
    pollset_add(&set, -1, POLLIN);
    pollset_add(&set, a[0], POLLIN);
    pollset_add(&set, a[0], POLLOUT);
    pollset_add(&set, b[0], POLLIN);
    assert_int_equal(set.count, 3);
    assert_int_equal(pollset_wait(&set, &e), 2);
    assert_int_equal(pollset_events(&set, a[0]), POLLIN | POLLOUT);
    assert_int_equal(pollset_events(&set, b[0]), 0);
    assert_int_equal(pollset_events(&set, a[1]), 0);
    pollset_clear(&set);
    pollset_wake_at(&set, clock_now_ms());
    assert_int_equal(pollset_wait(&set, &e), 0);
    assert_int_equal(pollset_events(&set, a[0]), 0);
    pollset_free(&set);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void earliest_deadline_wins(void **state)
{
    struct pollset set = {0};

    (void)state;
    pollset_wake_at(&set, CLOCK_NEVER_MS);
    assert_false(set.has_deadline);
    pollset_wake_at(&set, 500);
    pollset_wake_at(&set, 700);
    assert_int_equal(set.deadline_ms, 500);
    pollset_wake_at(&set, 300);
    pollset_wake_at(&set, CLOCK_NEVER_MS);
    assert_int_equal(set.deadline_ms, 300);
    pollset_clear(&set);
    assert_false(set.has_deadline);
}

static void waits_for_the_deadline(void **state)
{
    struct pollset set = {0};
    struct err e = {0};
    int64_t deadline = clock_now_ms() + 30;

    (void)state;
    pollset_wake_at(&set, deadline);
    assert_int_equal(pollset_wait(&set, &e), 0);
    assert_true(clock_now_ms() >= deadline);
    pollset_free(&set);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Without a deadline only the signal ends the wait. */
static void a_signal_is_no_error(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    /* Repeated, should the first come before the wait. */
    struct itimerval soon = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct pollset set = {0};
    struct err e = {0};
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    sigaction(SIGALRM, &action, &before);
    pollset_add(&set, pair[0], POLLIN);
    setitimer(ITIMER_REAL, &soon, NULL);
    assert_int_equal(pollset_wait(&set, &e), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    assert_int_equal(pollset_events(&set, pair[0]), 0);
    sigaction(SIGALRM, &before, NULL);
    pollset_free(&set);
    close(pair[0]);
    close(pair[1]);
}

/* Without memory for more: no error that a loop would turn round, and not a wait for ever. */
static void waits_with_a_part_of_the_set(void **state)
{
    struct pollset set = {0};
    struct err e = {0};
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pollset_add(&set, pair[0], POLLIN);
    set.failed = true;
    pollset_add(&set, pair[1], POLLIN);
    assert_int_equal(set.count, 1);
    assert_int_equal(pollset_wait(&set, &e), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(pollset_wait(&set, &e), 1);
    pollset_clear(&set);
    assert_false(set.failed);
    pollset_free(&set);
    close(pair[0]);
    close(pair[1]);
}

static void grows(void **state)
{
    struct pollset set = {0};

    (void)state;
    for (int fd = 0; fd < 1000; fd++)
        pollset_add(&set, fd, POLLIN);
    assert_int_equal(set.count, 1000);
    assert_false(set.failed);
    for (int fd = 0; fd < 1000; fd++)
        assert_int_equal(set.fds[fd].fd, fd);
    pollset_free(&set);
    assert_int_equal(set.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_which_is_ready), cmocka_unit_test(earliest_deadline_wins),
        cmocka_unit_test(waits_for_the_deadline), cmocka_unit_test(a_signal_is_no_error),
        cmocka_unit_test(waits_with_a_part_of_the_set),
        cmocka_unit_test(grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
