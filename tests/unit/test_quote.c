/* Foreign bytes in messages: shown, escaped, cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/quote.h"

static void test_escapes(void **state)
{
    static const struct {
        const char *name;
        struct str text;
        const char *want;
    } cases[] = {
        {"empty", {"", 0}, ""},
        {"printable", {"a b\"~", 5}, "a b\"~"},
        {"control bytes", {"a\n\r\t\0\x7f", 6}, "a\\x0a\\x0d\\x09\\x00\\x7f"},
        {"UTF-8",
         {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9},
         "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"not UTF-8", {"\xff\xc3", 2}, "\\xff\\xc3"},
        {"cut character", {"\xe2\x82", 2}, "\\xe2\\x82"},
        {"surrogate", {"\xed\xa0\x80", 3}, "\\xed\\xa0\\x80"},
        {"overrides and isolates",
         {"a\xe2\x80\xae"
          "b\xe2\x81\xa6"
          "c\xe2\x80\x8f\xd8\x9c",
          14},
         "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6"
         "c\\xe2\\x80\\x8f\\xd8\\x9c"},
        {"their neighbours",
         {"\xe2\x80\x8d\xe2\x80\xaf\xe2\x81\xa5\xd8\x9d", 11},
         "\xe2\x80\x8d\xe2\x80\xaf\xe2\x81\xa5\xd8\x9d"},
        {"C1 control", {"\xc2\x9b[2J", 5}, "\\xc2\\x9b[2J"},
    };
    char out[QUOTE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(quote_str(out, cases[i].text), cases[i].want) != 0)
            fail_msg("%s: \"%s\", want \"%s\"", cases[i].name, out, cases[i].want);
}

/* For every length and offset of a wide character: terminated, valid, and marked when cut. */
static void test_cuts(void **state)
{
    char text[2 * QUOTE_SIZE], out[QUOTE_SIZE];

    (void)state;
    for (size_t len = 0; len <= sizeof text - 4; len++) {
        memset(text, 'x', sizeof text);
        memcpy(text + len, "\xf0\x9f\x98\x80", 4);
        quote_str(out, (struct str){text, len + 4});
        assert_in_range(strlen(out), 0, QUOTE_SIZE - 1);
        assert_true(str_is_utf8(str_of(out)));
        bool is_cut = len + 4 > QUOTE_SIZE - 4;
        assert_int_equal(str_ends_with(str_of(out), STR("...")), is_cut);
        if (!is_cut)
            assert_memory_equal(out, text, len + 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_escapes), cmocka_unit_test(test_cuts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
