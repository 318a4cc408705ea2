/* How many lines of a kind get through, over a day, and what is said of the others. */
#include "unit.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log_limit.h"

enum { BURST = LOG_LIMIT_BURST, SECOND = 1000, MINUTE = 60000, DAY = 24 * 3600 * SECOND };

static int64_t now_ms = 1000000; /* the table is the program's: each test has a day of its own */

static void next_day(void)
{
    now_ms += 2 * (int64_t)DAY;
}

static uint64_t admitted(const char *format, int count)
{
    uint64_t n = 0;

    for (int i = 0; i < count; i++)
        n += log_limit_admits(format, now_ms);
    return n;
}

/* What the next report says of that format; 0: there is none. */
static uint64_t reported(const char *format, bool is_end)
{
    const char *kind;
    uint64_t count;

    if (!log_limit_report(now_ms, is_end, &kind, &count))
        return 0;
    unit_equal("kind", kind, format);
    return count;
}

static void test_burst(void **state)
{
    static const char a[] = "burst %s", b[] = "other %s";

    (void)state;
    next_day();
    assert_int_equal(admitted(a, BURST), BURST);
    assert_int_equal(reported(a, false), 0);
    assert_int_equal(admitted(a, 1), 0);
    assert_int_equal(reported(a, false), 1); /* at once, so that one knows */
    assert_int_equal(admitted(b, 1), 1);     /* each for itself */
    assert_int_equal(admitted(a, 500), 0);
    assert_int_equal(reported(a, false), 0);
    now_ms += SECOND - 1;
    assert_int_equal(admitted(a, 1), 0);
    now_ms += 1;
    assert_int_equal(admitted(a, 9), 1);
    now_ms += MINUTE - SECOND - 1;
    assert_int_equal(reported(a, false), 0);
    now_ms += 1;
    assert_int_equal(reported(a, false), 509);
    assert_int_equal(reported(a, true), 0);
    assert_int_equal(admitted(a, 100), 59);
    assert_int_equal(reported(a, true), 41);
}

/* After a quiet time all is forgotten. */
static void test_again(void **state)
{
    static const char a[] = "again %s";

    (void)state;
    for (int i = 0; i < 3; i++) {
        next_day();
        assert_int_equal(admitted(a, BURST + 5), BURST);
        assert_int_equal(reported(a, true), 5);
    }
}

static void test_a_day(void **state)
{
    static const char a[] = "day %s";
    uint64_t lines = 0, reports = 0, left_out = 0;
    enum { STEP = 50, EACH = 10 };

    (void)state;
    next_day();
    for (int64_t end = now_ms + DAY; now_ms < end; now_ms += STEP) {
        lines += admitted(a, EACH);
        uint64_t count = reported(a, false);
        reports += count > 0;
        left_out += count;
    }
    left_out += reported(a, true);
    assert_in_range(lines, DAY / SECOND, DAY / SECOND + BURST);
    assert_in_range(reports, DAY / MINUTE - 20, DAY / MINUTE + 1);
    assert_int_equal(lines + left_out, (uint64_t)DAY / STEP * EACH);
}

/* More formats than there is room for share what there is. */
static void test_many_kinds(void **state)
{
    static char formats[2 * LOG_LIMIT_KINDS][4];
    uint64_t n = 0, left_out = 0, count;
    const char *kind;

    (void)state;
    next_day();
    for (size_t i = 0; i < UNIT_COUNT(formats); i++)
        n += admitted(formats[i], BURST + 1);
    while (log_limit_report(now_ms, true, &kind, &count))
        left_out += count;
    assert_in_range(n, BURST, LOG_LIMIT_KINDS * BURST);
    assert_int_equal(n + left_out, UNIT_COUNT(formats) * (BURST + 1));
}

static void test_forked(void **state)
{
    static const char a[] = "forked %s";
    int status = -1;

    (void)state;
    next_day();
    log_limit_share();
    assert_int_equal(admitted(a, BURST / 2), BURST / 2);
    pid_t pid = fork();
    if (pid == 0)
        _exit(admitted(a, BURST) == BURST / 2 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(admitted(a, 1), 0);
    assert_int_equal(reported(a, true), BURST / 2 + 1);
}

int main(void)
{
    /* The last two fill and replace the table. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst),  cmocka_unit_test(test_again),
        cmocka_unit_test(test_a_day),  cmocka_unit_test(test_forked),
        cmocka_unit_test(test_many_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
