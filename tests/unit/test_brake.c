/* Wrong guesses: when each is answered. */
#include "proxy/brake.h"
#include "unit.h"

enum { EVERY_MS = 1000 };

static int64_t guess(struct brake *b, const char *who, int64_t now_ms)
{
    return brake_wrong(b, str_of(who), EVERY_MS, now_ms);
}

static void test_pace(void **state)
{
    static struct brake b = {.seed = 7};
    int64_t now = 1000000;

    (void)state;
    for (int i = 0; i < BRAKE_FREE; i++)
        assert_int_equal(guess(&b, "a", now), 0);
    for (int i = 1; i <= 10; i++)
        assert_int_equal(guess(&b, "a", now), i * EVERY_MS);
    assert_int_equal(guess(&b, "b", now), 0);
    assert_int_equal(guess(&b, "a", now + 5 * EVERY_MS), 6 * EVERY_MS);
    /* After a while all is forgotten. */
    now += 100 * EVERY_MS;
    for (int i = 0; i < BRAKE_FREE; i++)
        assert_int_equal(guess(&b, "a", now), 0);
    assert_int_equal(guess(&b, "a", now), EVERY_MS);
}

/* However many: bounded, and over when the last one was answered. */
static void test_bound(void **state)
{
    static struct brake b = {.seed = 7};

    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(guess(&b, "a", 5) <= BRAKE_MAX_MS);
    assert_int_equal(guess(&b, "a", 5), BRAKE_MAX_MS);
    assert_int_equal(guess(&b, "a", 5 + 2 * BRAKE_MAX_MS), 0);
}

/* Many addresses do not free one that is busy. */
static void test_many(void **state)
{
    static struct brake b = {.seed = 7};
    char who[16];

    (void)state;
    for (int i = 0; i < 20; i++)
        guess(&b, "a", 5);
    for (int i = 0; i < 100000; i++) {
        snprintf(who, sizeof who, "%d", i);
        guess(&b, who, 6);
    }
    assert_true(guess(&b, "a", 7) > 10 * EVERY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pace), cmocka_unit_test(test_bound),
                                       cmocka_unit_test(test_many)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
