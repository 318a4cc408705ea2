/* Borrowed strings. */
#include "unit.h"

#include <stdlib.h>

#include "base/str.h"

static void test_compare(void **state)
{
    (void)state;
    assert_true(str_equal(STR("a"), STR("a")));
    assert_false(str_equal(STR("a"), STR("ab")));
    assert_false(str_equal(STR("a\0b"), STR("a\0c")));
    assert_true(str_equal(str_of(NULL), STR("")));
    assert_true(str_equal_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_false(str_equal_nocase(STR("[a"), STR("{a")));
    assert_false(str_equal_nocase(STR("\xc9"), STR("\xe9")));
    assert_true(str_compare(STR("a"), STR("b")) < 0);
    assert_true(str_compare(STR("ab"), STR("a")) > 0);
    assert_true(str_compare(STR(""), STR("a")) < 0);
    assert_true(str_compare(STR("\x7f"), STR("\x80")) < 0);
    assert_int_equal(str_compare(STR("a"), STR("a")), 0);
    assert_int_equal(str_compare(str_of(NULL), STR("")), 0);
    assert_true(str_equal_constant_time(STR("secret"), STR("secret")));
    assert_false(str_equal_constant_time(STR("secret"), STR("secreT")));
    assert_false(str_equal_constant_time(STR("secret"), STR("secret2")));
    assert_false(str_equal_constant_time(STR(""), STR("x")));
}

static void test_parts(void **state)
{
    const struct str s = STR("a=b=c");

    (void)state;
    assert_int_equal(str_find(s, '='), 1);
    assert_int_equal(str_find(s, 'x'), 5);
    assert_int_equal(str_find(str_of(NULL), 'x'), 0);
    unit_equal_str("middle", str_slice(s, 2, 3), STR("b"));
    unit_equal_str("past the end", str_slice(s, 4, 99), STR("c"));
    unit_equal_str("start past the end", str_slice(s, 99, 100), STR(""));
    unit_equal_str("crossed", str_slice(s, 3, 2), STR(""));
    unit_equal_str("of nothing", str_slice(str_of(NULL), 1, 2), STR(""));
    unit_equal_str("trim", str_trim(STR(" \t a b\t ")), STR("a b"));
    unit_equal_str("trim all", str_trim(STR(" \t")), STR(""));
    unit_equal_str("trim no newline", str_trim(STR("\na ")), STR("\na"));
    assert_true(str_starts_with(s, STR("a=")) && str_starts_with(s, STR("")));
    assert_false(str_starts_with(STR("a"), STR("ab")));
    assert_true(str_ends_with(s, STR("=c")) && str_ends_with(s, STR("")));
    assert_false(str_ends_with(STR("b"), STR("ab")));
}

static const struct uint_case {
    const char *text;
    uint64_t max;
    bool is_number;
    uint64_t want;
} uint_cases[] = {
    {"0", 10, true, 0},
    {"10", 10, true, 10},
    {"11", 10, false, 0},
    {"007", 10, true, 7},
    {"5", 3, false, 0},
    {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
    {"18446744073709551616", UINT64_MAX, false, 0},
    {"28446744073709551615", UINT64_MAX, false, 0},
    {"99999999999999999999999", UINT64_MAX, false, 0},
    {"", 10, false, 0},
    {"+1", 10, false, 0},
    {"-1", 10, false, 0},
    {" 1", 10, false, 0},
    {"1 ", 10, false, 0},
    {"0x1", 10, false, 0},
    {"1.0", 10, false, 0},
    {"9", 0, false, 0},
    {"0", 0, true, 0},
};

static void test_uint(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(uint_cases); i++) {
        const struct uint_case *c = &uint_cases[i];
        uint64_t value = 77;
        unit_true(c->text, str_to_uint(str_of(c->text), c->max, &value) == c->is_number);
        unit_true(c->text, value == (c->is_number ? c->want : 77));
    }
}

/* RFC 3629 §4; `first` is the length of the sequence at the start. */
static const struct utf8_case {
    const char *name, *text;
    bool is_utf8;
    size_t first;
} utf8_cases[] = {
    {"empty", "", true, 0},
    {"ASCII", "a\x7f", true, 1},
    {"two bytes, first and last", "\xc2\x80\xdf\xbf", true, 2},
    {"three bytes, first and last", "\xe0\xa0\x80\xef\xbf\xbf", true, 3},
    {"around the surrogates", "\xed\x9f\xbf\xee\x80\x80", true, 3},
    {"four bytes, first and last", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", true, 4},
    {"continuation alone", "\x80", false, 0},
    {"overlong two", "\xc1\xbf", false, 0},
    {"overlong three", "\xe0\x9f\xbf", false, 0},
    {"overlong four", "\xf0\x8f\xbf\xbf", false, 0},
    {"surrogate", "\xed\xa0\x80", false, 0},
    {"last surrogate", "\xed\xbf\xbf", false, 0},
    {"past the last code point", "\xf4\x90\x80\x80", false, 0},
    {"lead of five", "\xf8\x88\x80\x80\x80", false, 0},
    {"0xff", "\xff", false, 0},
    {"cut after one", "\xe2", false, 0},
    {"cut after two", "\xe2\x82", false, 0},
    {"cut after three", "\xf0\x9d\x84", false, 0},
    {"ASCII in a sequence", "\xe2\x82g", false, 0},
    {"lead in a sequence", "\xc3\xc3\xa9", false, 0},
    {"good, then bad", "é\xff", false, 2},
};

static void test_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(utf8_cases); i++) {
        const struct utf8_case *c = &utf8_cases[i];
        size_t len = strlen(c->text);
        char *exact = malloc(len + 1); /* without NUL: a read past the end is seen */
        memcpy(exact, c->text, len);
        char *cut = realloc(exact, len == 0 ? 1 : len);
        unit_true(c->name, str_is_utf8((struct str){cut, len}) == c->is_utf8);
        unit_true(c->name, str_utf8_sequence((struct str){cut, len}) == c->first);
        free(cut);
    }
    assert_true(str_is_utf8(STR("a\0b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_uint),
        cmocka_unit_test(test_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
