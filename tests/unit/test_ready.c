/* One descriptor: what is ready now, and waiting for it. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ready.h"

static int ends[2];

static int open_ends(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
}

static int close_ends(void **state)
{
    (void)state;
    close(ends[0]);
    return ends[1] < 0 ? 0 : close(ends[1]);
}

static void test_look(void **state)
{
    (void)state;
    assert_int_equal(ready_look(ends[0], READY_READ), 0);
    assert_int_equal(ready_look(ends[0], READY_READ | READY_WRITE), READY_WRITE);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(ready_look(ends[0], READY_READ), READY_READ);
    assert_int_equal(ready_look(ends[0], 0), 0);
}

/* What the peer sent before it shut its side down is still there. */
static void test_peer_that_ends(void **state)
{
    (void)state;
    assert_int_equal(ready_look(ends[0], READY_HANGUP), 0);
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    assert_int_equal(ready_look(ends[0], READY_HANGUP), READY_HANGUP);
    assert_int_equal(ready_look(ends[0], 0), 0);
    close(ends[1]);
    ends[1] = -1;
    assert_int_equal(ready_look(ends[0], 0), READY_FAILED);
    assert_int_equal(ready_wait(ends[0], 0, CLOCK_NEVER_MS), READY_FAILED);
}

static void test_files_are_ready(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), file = open("/proc/self/exe", O_RDONLY);

    (void)state;
    assert_int_equal(ready_look(null, READY_READ | READY_WRITE), READY_READ | READY_WRITE);
    assert_int_equal(ready_wait(file, READY_READ, CLOCK_NEVER_MS), READY_READ);
    close(null);
    close(file);
    assert_int_equal(ready_look(file, READY_READ), READY_FAILED); /* it is closed */
}

static void test_wait_and_sleep(void **state)
{
    int64_t begun_ms = clock_now_ms();

    (void)state;
    assert_int_equal(ready_wait(ends[0], READY_READ, 30), 0);
    assert_true(clock_now_ms() - begun_ms >= 29);
    begun_ms = clock_now_ms();
    ready_sleep(30);
    ready_sleep(0);
    ready_sleep(-5);
    assert_true(clock_now_ms() - begun_ms >= 29);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(ready_wait(ends[0], READY_READ, INT64_MAX), READY_READ);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_ends, close_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_look),
        CASE(test_peer_that_ends),
        CASE(test_files_are_ready),
        CASE(test_wait_and_sleep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
