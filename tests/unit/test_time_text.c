/* Times and spans for people: the zone, the turn of a day, the units of spans. */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "base/time_text.h"

enum { HOUR_MS = 3600 * 1000 };

static const int64_t AT_MS = INT64_C(1793693520000); /* 2026-11-03 08:12 UTC */

static void use_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static void test_times(void **state)
{
    struct buf out = {0};

    (void)state;
    use_zone("UTC0");
    time_text_put(&out, AT_MS);
    unit_equal("UTC", buf_cstr(&out), "2026-11-03 08:12");
    buf_clear(&out);
    time_text_put_near(&out, AT_MS, AT_MS + HOUR_MS);
    unit_equal("the same day", buf_cstr(&out), "08:12");
    buf_clear(&out);
    time_text_put_near(&out, AT_MS, AT_MS + 20 * HOUR_MS);
    unit_equal("the next day", buf_cstr(&out), "2026-11-03 08:12");
    assert_int_equal(time_text_date(AT_MS), 20261103);
    use_zone("XXX10"); /* ten hours behind: the day before */
    buf_clear(&out);
    time_text_put(&out, AT_MS);
    unit_equal("another zone", buf_cstr(&out), "2026-11-02 22:12");
    assert_int_equal(time_text_date(AT_MS), 20261102);
    use_zone("UTC0");
    buf_clear(&out);
    time_text_put(&out, INT64_MAX); /* a year that no int holds is no reason to die */
    assert_false(out.failed);
    buf_free(&out);
}

static void test_spans(void **state)
{
    static const struct {
        int64_t ms;
        const char *want;
    } spans[] = {{-1, "0 s"},
                 {999, "0 s"},
                 {119999, "119 s"},
                 {120000, "2 min"},
                 {7199999, "119 min"},
                 {2 * HOUR_MS, "2 h"},
                 {INT64_C(172799999), "47 h"},
                 {INT64_C(172800000), "2 d"},
                 {INT64_C(24) * 24 * HOUR_MS, "24 d"}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(spans); i++) {
        struct buf out = {0};
        time_text_put_span(&out, spans[i].ms);
        unit_equal(spans[i].want, buf_cstr(&out), spans[i].want);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_times), cmocka_unit_test(test_spans)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
