/* The daemon's intervals: what their defaults promise together, and how tests shorten them. */
#include "unit.h"

#include "daemon/intervals.h"

/* SIGTERM: 10 s in all, whatever the proxy and the workers do. After the two intervals come the
 * last moments of the upload workers and of the keeper, a second each. */
static void test_end(void **state)
{
    struct intervals t;

    (void)state;
    intervals_init(&t);
    assert_true(t.stop_ms + t.close_ms + 1000 + 1000 < 10000);
}

static void test_parse(void **state)
{
    static const struct {
        const char *name, *text;
        int want;
    } cases[] = {
        {"none", "", 0},
        {"two", "ping_ms=5,dead_ms=15", 0},
        {"unknown", "pang_ms=5", -1},
        {"no number", "ping_ms=", -1},
        {"no sign", "ping_ms", -1},
        {"a week and more", "ping_ms=604800001", -1},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct intervals t;
        struct err e = {0};
        intervals_init(&t);
        unit_true(cases[i].name, intervals_parse(&t, str_of(cases[i].text), &e) == cases[i].want);
        unit_true(cases[i].name, t.ping_ms == (i == 1 ? 5 : 20000));
        unit_true(cases[i].name, t.dead_ms == (i == 1 ? 15 : 60000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
