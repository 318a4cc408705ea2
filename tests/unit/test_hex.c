/* Hexadecimal, and random names made of it. */
#include "unit.h"

#include "base/hex.h"
#include "base/random.h"

static void test_encode(void **state)
{
    const unsigned char data[] = {0x00, 0x7f, 0x80, 0xab, 0xff};
    char hex[11];

    (void)state;
    hex_encode(data, sizeof data, hex);
    unit_equal("bytes", hex, "007f80abff");
    hex_encode(data, 0, hex);
    unit_equal("nothing", hex, "");
}

static const struct decode_case {
    const char *name, *digits;
    bool is_hex;
} decode_cases[] = {
    {"lower", "00abcdef", true},     {"upper", "00ABCDEF", true},
    {"short", "00abcde", false},     {"long", "00abcdef0", false},
    {"empty", "", false},            {"not a digit", "00abcdeg", false},
    {"before 0", "/0abcdef", false}, {"after 9", ":0abcdef", false},
    {"before A", "@0abcdef", false}, {"before a", "`0abcdef", false},
    {"space", " 0abcdef", false},
};

static void test_decode(void **state)
{
    const unsigned char want[] = {0x00, 0xab, 0xcd, 0xef};
    unsigned char out[4];

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(decode_cases); i++) {
        const struct decode_case *c = &decode_cases[i];
        unit_true(c->name, hex_decode(str_of(c->digits), out, sizeof out) == c->is_hex);
        unit_true(c->name, !c->is_hex || memcmp(out, want, sizeof out) == 0);
    }
}

static void test_is_lower(void **state)
{
    (void)state;
    assert_true(hex_is_lower(STR("09af"), 4));
    assert_false(hex_is_lower(STR("09aF"), 4));
    assert_false(hex_is_lower(STR("09ag"), 4));
    assert_false(hex_is_lower(STR("09a"), 4));
    assert_false(hex_is_lower(STR("09af0"), 4));
    assert_true(hex_is_lower(STR(""), 0));
}

static void test_random(void **state)
{
    char a[101], b[101];
    unsigned seen = 0;

    (void)state;
    random_hex(a, 100);
    random_hex(b, 100);
    assert_true(hex_is_lower(str_of(a), 100) && hex_is_lower(str_of(b), 100));
    assert_string_not_equal(a, b);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = random_below(5);
        assert_true(value < 5);
        seen |= 1u << value;
    }
    assert_int_equal(seen, 31);
    assert_int_equal(random_below(1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_is_lower),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
