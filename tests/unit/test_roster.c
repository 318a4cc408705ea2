/* Connected daemons by name and zone; a reader in another process while they come and go. */
#include "hub/roster.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static struct roster *made(size_t capacity)
{
    struct err e;
    struct roster *roster = roster_new(capacity, &e);

    assert_non_null(roster);
    return roster;
}

static void test_names_and_zones(void **state)
{
    struct roster *roster = made(3);
    int64_t since = 0;

    (void)state;
    roster_put(roster, STR("a"), STR("default"), 1);
    roster_put(roster, STR("b"), STR("lab"), 2);
    roster_put(roster, STR("old"), STR(""), 3);
    const struct {
        const char *name, *zone;
        bool is_own, is_found;
        int64_t since;
    } cases[] = {
        {"a", "default", true, true, 1}, {"a", "lab", false, false, 0},
        {"a", "defaul", false, false, 0}, {"b", "lab", false, true, 2},
        {"b", "default", true, false, 0}, {"old", "default", true, true, 3},
        {"old", "lab", false, false, 0},  {"", "default", true, false, 0},
        {"A", "default", true, false, 0}, {"ab", "default", true, false, 0},
    };
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        bool is_found = roster_find(roster, str_of(cases[i].name), str_of(cases[i].zone),
                                    cases[i].is_own, &since);
        unit_true(cases[i].name, is_found == cases[i].is_found);
        unit_true(cases[i].name, !is_found || since == cases[i].since);
    }
    roster_free(roster);
}

static void test_coming_and_going(void **state)
{
    struct roster *roster = made(2);
    char longer[ROSTER_MAX_NAME_BYTES + 1];
    struct str too_long = {longer, sizeof longer};
    int64_t since;

    (void)state;
    memset(longer, 'x', sizeof longer);
    roster_remove(roster, STR("a"));
    roster_put(roster, STR("a"), STR("z"), 1);
    roster_put(roster, STR("b"), STR("z"), 2);
    roster_put(roster, STR("c"), STR("z"), 3); /* no room */
    assert_false(roster_find(roster, STR("c"), STR("z"), false, &since));
    roster_put(roster, STR("a"), STR("y"), 4);
    assert_false(roster_find(roster, STR("a"), STR("z"), false, &since));
    assert_true(roster_find(roster, STR("a"), STR("y"), false, &since));
    assert_int_equal(since, 4);
    roster_remove(roster, STR("a"));
    assert_false(roster_find(roster, STR("a"), STR("y"), false, &since));
    assert_true(roster_find(roster, STR("b"), STR("z"), false, &since));
    roster_put(roster, too_long, STR("z"), 5);
    assert_false(roster_find(roster, too_long, STR("z"), false, &since));
    roster_put(roster, str_slice(too_long, 1, too_long.len), STR("z"), 6);
    assert_true(roster_find(roster, str_slice(too_long, 1, too_long.len), STR("z"), false, &since));
    roster_free(roster);
}

/* The reader never sees one that stays as absent, nor half of another. */
static int read_on(const struct roster *roster)
{
    int64_t since = 0;

    for (int i = 0; i < 200000; i++) {
        if (!roster_find(roster, STR("stays"), STR("z"), false, &since) || since != 7)
            return 1;
        if (roster_find(roster, STR("comes"), STR("one"), false, &since) && since != 1)
            return 2;
        if (roster_find(roster, STR("comes"), STR("two"), false, &since) && since != 2)
            return 3;
    }
    return 0;
}

static void test_a_reader_in_another_process(void **state)
{
    struct roster *roster = made(10);
    int status = 0;

    (void)state;
    roster_put(roster, STR("first"), STR("z"), 1);
    roster_put(roster, STR("stays"), STR("z"), 7);
    pid_t reader = fork();
    if (reader == 0)
        _exit(read_on(roster));
    assert_true(reader > 0);
    while (waitpid(reader, &status, WNOHANG) == 0) {
        roster_put(roster, STR("comes"), STR("one"), 1);
        roster_put(roster, STR("comes"), STR("two"), 2);
        roster_remove(roster, STR("first")); /* another takes its place */
        roster_put(roster, STR("first"), STR("z"), 1);
        roster_remove(roster, STR("comes"));
    }
    assert_int_equal(status, 0);
    roster_free(roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_zones),
        cmocka_unit_test(test_coming_and_going),
        cmocka_unit_test(test_a_reader_in_another_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
