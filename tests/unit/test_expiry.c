/* Times at which share links end. */
#include "unit.h"

#include "cmd/expiry.h"

#define DAY INT64_C(86400000)
#define NOW (20000 * DAY + 5000) /* 2024-10-04T00:00:05Z */

static const struct expiry_case {
    const char *text;
    int64_t at_ms; /* 0: refused */
} cases[] = {
    {"90m", NOW + 90 * 60000},
    {"12h", NOW + 12 * 3600000},
    {"7d", NOW + 7 * DAY},
    {"1m", NOW + 60000},
    {"2024-10-05", 20001 * DAY},
    {"2027-03-01", 20878 * DAY},
    {"2028-02-29", 21243 * DAY},
    {"36500d", NOW + 36500 * DAY},
    {"36501d", 0},
    {"2199-01-01", 0},
    {"2024-10-04", 0},
    {"2024-10-03", 0},
    {"2027-02-29", 0},
    {"2027-13-01", 0},
    {"2027-3-1", 0},
    {"27-03-01", 0},
    {"2027-03-01T00:00:00Z", 0},
    {"0d", 0},
    {"-1d", 0},
    {"+1d", 0},
    {"1.5h", 0},
    {"7", 0},
    {"d", 0},
    {"", 0},
    {"7w", 0},
    {"7D", 0},
    {"7 d", 0},
    {"99999999999999999999d", 0},
    {"never", 0},
};

static void test_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct expiry_case *c = &cases[i];
        struct err e = {0};
        int64_t at_ms = 0;
        int result = expiry_parse(str_of(c->text), NOW, &at_ms, &e);
        unit_true(c->text, (result == 0) == (c->at_ms != 0));
        unit_true(c->text, at_ms == c->at_ms);
        unit_true(c->text, result == 0 || (e.code == ERR_USAGE && strstr(e.msg, "7d") != NULL));
    }
}

static void test_put(void **state)
{
    struct buf out = {0};

    (void)state;
    expiry_put(&out, 20878 * DAY + 3723999);
    unit_equal("time", buf_cstr(&out), "2027-03-01T01:02:03Z");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_put),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
