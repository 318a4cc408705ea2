/* The daemon's intervals: what their defaults promise together, and how tests shorten them. */
#include "unit.h"

#include <stdlib.h>

#include "daemon/intervals.h"

#define VARIABLE "KACHERY_RESOURCE_TEST_INTERVALS"

/* SIGTERM: 10 s in all, whatever the proxy and the workers do. After the two intervals come the
 * last moments of the upload workers and of the keeper, a second each. */
static void test_end(void **state)
{
    struct intervals t;

    (void)state;
    unsetenv(VARIABLE);
    assert_int_equal(intervals_load(&t, ERR_IGNORED), 0);
    assert_true(t.stop_ms + t.close_ms + 1000 + 1000 < 10000);
}

static void test_load(void **state)
{
    static const struct {
        const char *text, *bad; /* the part that is refused, or NULL */
    } cases[] = {
        {"", NULL},
        {"ping_ms=5,dead_ms=15", NULL},
        {"pang_ms=5", "pang_ms=5"},
        {"ping_ms=x", "ping_ms=x"},
        {"ping_ms=", "ping_ms="},
        {"dead_ms=60000,ping_ms", "ping_ms"},
        {"ping_ms=604800001", "ping_ms=604800001"}, /* a week and more */
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct intervals t;
        struct err e = {0};
        char want[200] = "";
        setenv(VARIABLE, cases[i].text, 1);
        unit_true(cases[i].text, intervals_load(&t, &e) == (cases[i].bad == NULL ? 0 : -1));
        if (cases[i].bad != NULL)
            snprintf(want, sizeof want, VARIABLE ": interval \"%s\": want NAME=MILLISECONDS",
                     cases[i].bad);
        unit_equal(cases[i].text, e.msg, want);
        unit_true(cases[i].text, t.ping_ms == (i == 1 ? 5 : 20000));
        unit_true(cases[i].text, t.dead_ms == (i == 1 ? 15 : 60000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
