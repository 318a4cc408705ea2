/* Days of dates: leap years, ends of months, years before 1970. */
#include "unit.h"

#include "base/calendar.h"

static const struct {
    const char *name;
    int year, month, day;
    bool is_day;
    int64_t days;
} cases[] = {
    {"epoch", 1970, 1, 1, true, 0},
    {"the day before", 1969, 12, 31, true, -1},
    {"year 0", 0, 3, 1, true, -719468},
    {"today", 2026, 11, 22, true, 20779},
    {"leap day", 2024, 2, 29, true, 19782},
    {"leap day of a century", 2000, 2, 29, true, 11016},
    {"no leap day", 2023, 2, 29, false, 0},
    {"no leap day of a century", 1900, 2, 29, false, 0},
    {"last day of all", 9999, 12, 31, true, 2932896},
    {"31st of 30", 2024, 4, 31, false, 0},
    {"day 0", 2024, 4, 0, false, 0},
    {"month 0", 2024, 0, 1, false, 0},
    {"month 13", 2024, 13, 1, false, 0},
};

static void test_days(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        int64_t days = 0;
        unit_true(cases[i].name,
                  calendar_days(cases[i].year, cases[i].month, cases[i].day, &days) ==
                      cases[i].is_day);
        unit_true(cases[i].name, days == cases[i].days);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_days)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
