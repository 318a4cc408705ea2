/* Dates and ranges in HTTP heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proto/http_head.h"

static void test_parse_date(void **state)
{
    static const struct {
        const char *text;
        int64_t want_s; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
        {"Sun, 22 Nov 2026 09:15:02 GMT", 1795338902},
        {"Thursday, 01-Jan-70 00:00:00 GMT", 0},
        {"Wednesday, 01-Jan-69 00:00:00 GMT", 3124224000},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 +0000", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun,  6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994  8:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08: 9:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49: 7 GMT", -1},
        {"Sunday,  6-Nov-94 08:49:37 GMT", -1},
        {"Sunday, 06-Nov- 4 08:49:37 GMT", -1},
        {"Xyz, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Xyz 1994 08:49:37 GMT", -1},
        {"sun, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 29 Feb 1900 08:49:37 GMT", -1},
        {"Mon, 29 Feb 2100 08:49:37 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 06 Nov 1969 08:49:37 GMT", -1},
        {"Sun, 06 Nov 0000 08:49:37 GMT", -1},
        {"Sun, +6 Nov 1994 08:49:37 GMT", -1},
        {"1795338902", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t want = cases[i].want_s < 0 ? -1 : cases[i].want_s * 1000;
        int64_t got = http_head_parse_date(str_of(cases[i].text));
        if (got != want)
            fail_msg("%s: %lld, want %lld", cases[i].text, (long long)got, (long long)want);
    }
}

/* The last day of each month of a year without leap day is one, the day behind it is none. */
static void test_month_lengths(void **state)
{
    static const struct {
        const char *name;
        int days;
    } months[] = {{"Jan", 31}, {"Feb", 28}, {"Mar", 31}, {"Apr", 30}, {"May", 31}, {"Jun", 30},
                  {"Jul", 31}, {"Aug", 31}, {"Sep", 30}, {"Oct", 31}, {"Nov", 30}, {"Dec", 31}};

    (void)state;
    for (size_t i = 0; i < sizeof months / sizeof *months; i++)
        for (int extra = 0; extra < 2; extra++) {
            char text[40];
            snprintf(text, sizeof text, "Sun, %02d %s 2026 12:00:00 GMT", months[i].days + extra,
                     months[i].name);
            if ((http_head_parse_date(str_of(text)) == -1) != (extra == 1))
                fail_msg("%s", text);
        }
}

static void test_format_date(void **state)
{
    char text[30];

    (void)state;
    http_head_format_date(INT64_C(784111777999), text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_head_format_date(-1, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_head_format_date(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    /* There and back over 500 years, in steps that meet every day of the year. */
    for (int64_t s = 0; s < INT64_C(500) * 366 * 86400; s += 86400 + 3661) {
        http_head_format_date(s * 1000, text);
        if (http_head_parse_date(str_of(text)) != s * 1000)
            fail_msg("%lld: %s", (long long)s, text);
    }
}

static void test_range(void **state)
{
    static const struct {
        const char *text;
        int64_t size;
        int want;
        int64_t start, end;
    } cases[] = {
        {"bytes=0-0", 10, 1, 0, 1},
        {"bytes=2-5", 10, 1, 2, 6},
        {"bytes=2-", 10, 1, 2, 10},
        {"bytes=9-", 10, 1, 9, 10},
        {"bytes=2-99", 10, 1, 2, 10},
        {"bytes=0-9223372036854775807", 10, 1, 0, 10},
        {"bytes=0-99999999999999999999999", 10, 1, 0, 10},
        {"bytes=-3", 10, 1, 7, 10},
        {"bytes=-99", 10, 1, 0, 10},
        {"Bytes= 1-2 ", 10, 1, 1, 3},
        {"bytes=0-", INT64_MAX, 1, 0, INT64_MAX},
        {"bytes=10-", 10, -1, 0, 0},
        {"bytes=10-12", 10, -1, 0, 0},
        {"bytes=99999999999999999999999-", 10, -1, 0, 0},
        {"bytes=-0", 10, -1, 0, 0},
        {"bytes=0-", 0, -1, 0, 0},
        {"bytes=-5", 0, 0, 0, 0},
        {"bytes=5-2", 10, 0, 0, 0},
        {"bytes=", 10, 0, 0, 0},
        {"bytes=-", 10, 0, 0, 0},
        {"bytes=1", 10, 0, 0, 0},
        {"bytes=a-b", 10, 0, 0, 0},
        {"bytes=+1-2", 10, 0, 0, 0},
        {"bytes=1-2,4-5", 10, 0, 0, 0},
        {"bytes=1-2,", 10, 0, 0, 0},
        {"bytes=1 - 2", 10, 0, 0, 0},
        {"bytes=--2", 10, 0, 0, 0},
        {"bytes 1-2", 10, 0, 0, 0},
        {"items=1-2", 10, 0, 0, 0},
        {"", 10, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t start = 0, end = 0;
        int got = http_head_parse_range(str_of(cases[i].text), cases[i].size, &start, &end);
        if (got != cases[i].want || start != cases[i].start || end != cases[i].end)
            fail_msg("%s of %lld: %d, [%lld, %lld)", cases[i].text, (long long)cases[i].size, got,
                     (long long)start, (long long)end);
    }
}

static void test_content_range(void **state)
{
    static const struct {
        const char *text;
        bool want;
        int64_t start, end, total;
    } cases[] = {
        {"bytes 0-0/1", true, 0, 1, 1},
        {"bytes 5-9/10", true, 5, 10, 10},
        {"Bytes 5-9/*", true, 5, 10, -1},
        {"bytes 0-9223372036854775806/9223372036854775807", true, 0, INT64_MAX, INT64_MAX},
        {"bytes */10", false, 0, 0, 0},
        {"bytes 5-4/10", false, 0, 0, 0},
        {"bytes 5-10/10", false, 0, 0, 0},
        {"bytes 0-9223372036854775807/*", false, 0, 0, 0},
        {"bytes 5-9", false, 0, 0, 0},
        {"bytes 5-9/", false, 0, 0, 0},
        {"bytes 5/10-9", false, 0, 0, 0},
        {"bytes=5-9/10", false, 0, 0, 0},
        {"5-9/10", false, 0, 0, 0},
        {"", false, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t start = 0, end = 0, total = 0;
        bool got = http_head_parse_content_range(str_of(cases[i].text), &start, &end, &total);
        if (got != cases[i].want || start != cases[i].start || end != cases[i].end ||
            total != cases[i].total)
            fail_msg("%s: %d, [%lld, %lld)/%lld", cases[i].text, got, (long long)start,
                     (long long)end, (long long)total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_date),    cmocka_unit_test(test_month_lengths),
        cmocka_unit_test(test_format_date),   cmocka_unit_test(test_range),
        cmocka_unit_test(test_content_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
