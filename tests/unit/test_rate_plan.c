/* maxUploadRate and maxUploadRateSchedule: rates, rules, which of them holds when. */
#include "unit.h"

#include "daemon/rate_plan.h"

static const struct {
    const char *text;
    int64_t want; /* 0: refused */
} rates[] = {
    {"50MB", 50000000},       {"50 MB", 50000000},      {" 50MB/s ", 50000000},
    {"1.5GB", 1500000000},    {"0.25MB", 250000},       {"200kB", 200000},
    {"200KiB", 204800},       {"1MiB", 1048576},        {"100000", 100000},
    {"100000B", 100000},      {"2M", 2000000},          {"1TB", INT64_C(1000000000000)},
    {"99999", 0},             {"0", 0},                 {"", 0},
    {"MB", 0},                {"-1MB", 0},              {"50Mb", 0},
    {"50Mbit", 0},            {"1.MB", 0},              {".5MB", 0},
    {"1.2345MB", 0},          {"2TB", 0},               {"99999999999999999999MB", 0},
    {"50 MB x", 0},           {"1,5MB", 0},
};

static void test_rates(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(rates); i++) {
        struct err e = {0};
        int64_t bytes = 0;
        int result = rate_plan_parse_rate(str_of(rates[i].text), &bytes, &e);
        unit_true(rates[i].text, (result == 0) == (rates[i].want != 0));
        unit_true(rates[i].text, bytes == rates[i].want);
    }
}

static const struct {
    const char *text, *want;
} bad_rules[] = {
    {"Mon-Fri 08:00-18:00", "want bytes a second, 100kB to 1TB, such as 50MB (10^6)"},
    {"Mon-Fri 08:00-18:00 fast", "want bytes a second, 100kB to 1TB, such as 50MB (10^6)"},
    {"Mo-Fr 08:00-18:00 10MB", "want days such as Mon-Fri or Sat,Sun"},
    {"Mon,,Fri 08:00-18:00 10MB", "want days such as Mon-Fri or Sat,Sun"},
    {"Mon- 08:00-18:00 10MB", "want days such as Mon-Fri or Sat,Sun"},
};

static const char *const bad_windows[] = {
    "",          "Mon",        "Mon-Fri 10MB",      "08:00-25:00 10MB", "08:60-09:00 10MB",
    "8-18 10MB", "08:00 10MB", "24:00-08:00 10MB",  "08:00-08:00 10MB", "08:00-24:01 10MB",
    "10MB",      "008:00-9:00 10MB", "08:00-18:000 10MB",
};

static void test_bad_rules(void **state)
{
    struct rate_plan plan = {0};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad_rules); i++) {
        unit_true(bad_rules[i].text, rate_plan_add(&plan, str_of(bad_rules[i].text), &e) != 0);
        unit_equal(bad_rules[i].text, e.msg, bad_rules[i].want);
    }
    for (size_t i = 0; i < UNIT_COUNT(bad_windows); i++) {
        unit_true(bad_windows[i], rate_plan_add(&plan, str_of(bad_windows[i]), &e) != 0);
        unit_equal(bad_windows[i], e.msg,
                   "want days, times and a rate, such as Mon-Fri 08:00-18:00 10MB: the times are "
                   "00:00 to 24:00");
    }
    assert_int_equal(plan.count, 0);
}

enum { SUN, MON, TUE, WED, THU, FRI, SAT };

/* The rates in MB at a time, of a plan of 50 MB with these rules. */
static const struct {
    const char *name, *rules[3];
    int day, hour, minute;
    int64_t want;
} times[] = {
    {"before", {"Mon-Fri 08:00-18:00 10MB"}, MON, 7, 59, 50},
    {"from the first minute", {"Mon-Fri 08:00-18:00 10MB"}, MON, 8, 0, 10},
    {"to the last minute", {"Mon-Fri 08:00-18:00 10MB"}, FRI, 17, 59, 10},
    {"behind", {"Mon-Fri 08:00-18:00 10MB"}, FRI, 18, 0, 50},
    {"another day", {"Mon-Fri 08:00-18:00 10MB"}, SAT, 12, 0, 50},
    {"days across the week's end", {"Sat-Mon 08:00-18:00 10MB"}, SUN, 12, 0, 10},
    {"not between them", {"Sat-Mon 08:00-18:00 10MB"}, TUE, 12, 0, 50},
    {"a list of days", {"Mon,Wed-Thu 08:00-18:00 10MB"}, THU, 12, 0, 10},
    {"not of that list", {"Mon,Wed-Thu 08:00-18:00 10MB"}, TUE, 12, 0, 50},
    {"long names, small letters", {"monday-FRIDAY 8:00-18:00 10MB"}, WED, 12, 0, 10},
    {"every day", {"08:00-18:00 10MB"}, SUN, 12, 0, 10},
    {"a whole day", {"Sun 00:00-24:00 10MB"}, SUN, 23, 59, 10},
    {"across midnight, before it", {"Fri 22:00-06:00 10MB"}, FRI, 23, 0, 10},
    {"across midnight, behind it", {"Fri 22:00-06:00 10MB"}, SAT, 5, 59, 10},
    {"across midnight, over", {"Fri 22:00-06:00 10MB"}, SAT, 6, 0, 50},
    {"across midnight, the morning of its day", {"Fri 22:00-06:00 10MB"}, FRI, 5, 0, 50},
    {"across midnight and the week's end", {"Sat 22:00-06:00 10MB"}, SUN, 5, 0, 10},
    {"to midnight", {"Fri 22:00-00:00 10MB"}, FRI, 23, 59, 10},
    {"to midnight, over", {"Fri 22:00-00:00 10MB"}, SAT, 0, 0, 50},
    {"the last of several", {"08:00-18:00 10MB", "Wed 12:00-13:00 90MB"}, WED, 12, 30, 90},
    {"an earlier of several", {"08:00-18:00 10MB", "Wed 12:00-13:00 90MB"}, WED, 13, 0, 10},
    {"no limit", {"Sat-Sun 00:00-24:00 unlimited"}, SAT, 12, 0, 0},
};

static void test_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(times); i++) {
        struct rate_plan plan = {.bytes = 50000000};
        const struct tm local = {
            .tm_wday = times[i].day, .tm_hour = times[i].hour, .tm_min = times[i].minute};
        struct err e = {0};
        for (size_t n = 0; n < UNIT_COUNT(times[i].rules) && times[i].rules[n] != NULL; n++)
            unit_true(times[i].name, rate_plan_add(&plan, str_of(times[i].rules[n]), &e) == 0);
        unit_true(times[i].name, rate_plan_at(&plan, &local) == times[i].want * 1000000);
    }
}

static void test_limits(void **state)
{
    struct rate_plan plan = {0};
    struct err e = {0};

    (void)state;
    assert_false(rate_plan_limits(&plan));
    assert_int_equal(rate_plan_add(&plan, STR("Sat 00:00-24:00 unlimited"), &e), 0);
    assert_false(rate_plan_limits(&plan));
    assert_int_equal(rate_plan_add(&plan, STR("Sun 00:00-24:00 1MB"), &e), 0);
    assert_true(rate_plan_limits(&plan));
    while (plan.count < RATE_PLAN_MAX_RULES)
        assert_int_equal(rate_plan_add(&plan, STR("Sun 00:00-24:00 1MB"), &e), 0);
    assert_int_equal(rate_plan_add(&plan, STR("Sun 00:00-24:00 1MB"), &e), -1);
    unit_equal("too many", e.msg, "want at most 100 rules");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
