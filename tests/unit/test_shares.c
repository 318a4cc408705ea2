/* Places by holder: counted, and who has more than an equal part. */
#include "http/shares.h"
#include "unit.h"

static const struct part_case {
    const char *name;
    size_t places, counts[4]; /* of the holders 1, 2, 3, 4 */
    uint64_t holder, want;
} part_cases[] = {
    {"alone", 3, {3}, 1, 0},
    {"one has all, another comes", 4, {4}, 2, 1},
    {"one place, taken", 1, {1}, 2, 0},
    {"equal parts", 4, {2, 2}, 2, 0},
    {"a third one comes", 4, {2, 2}, 3, 1},
    {"below its part", 6, {4, 2}, 2, 1},
    {"at its part", 6, {3, 3}, 2, 0},
    {"above its part", 6, {4, 2}, 1, 0},
    {"the largest of several", 9, {2, 5, 2}, 4, 2},
    {"more holders than places", 2, {1, 1}, 3, 0},
    {"not known", 4, {4}, 0, 0},
};

static void test_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(part_cases); i++) {
        const struct part_case *c = &part_cases[i];
        struct shares s = {0};
        for (uint64_t holder = 1; holder <= 4; holder++)
            for (size_t n = 0; n < c->counts[holder - 1]; n++)
                assert_int_equal(shares_enter(&s, holder), 0);
        unit_true(c->name, shares_above_part(&s, c->holder, c->places) == c->want);
        shares_deinit(&s);
    }
}

/* Thousands of holders come and go in another order; what is left is always right. */
static void test_many(void **state)
{
    enum { HOLDERS = 3000 };
    struct shares s = {0};

    (void)state;
    assert_int_equal(shares_enter(&s, 0), 0);
    shares_leave(&s, 0);
    shares_leave(&s, 7);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 1; i <= HOLDERS; i++)
            for (uint64_t k = 0; k <= i % 3; k++)
                assert_int_equal(shares_enter(&s, i), 0);
        for (uint64_t i = 0; i < HOLDERS; i++) {
            uint64_t holder = i * 7919 % HOLDERS + 1;
            assert_int_equal(shares_count(&s, holder), holder % 3 + 1);
            for (uint64_t k = 0; k <= holder % 3; k++)
                shares_leave(&s, holder);
            assert_int_equal(shares_count(&s, holder), 0);
            assert_int_equal(s.holders, HOLDERS - i - 1);
        }
        assert_null(s.slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_many)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
