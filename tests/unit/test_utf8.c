/* UTF-8 in pieces, against a decoder that goes by arithmetic instead of by tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proto/utf8.h"

static size_t encode(uint32_t c, char *out)
{
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(leads[len] | c);
    return len;
}

/* Whole, then byte by byte: both must say the same. */
static bool is_good(const char *p, size_t len)
{
    struct utf8 whole = {0}, bytes = {0};
    bool is_whole = utf8_check(&whole, (struct str){p, len}) && utf8_is_complete(&whole);
    bool is_bytes = true;

    for (size_t i = 0; i < len && is_bytes; i++)
        is_bytes = utf8_check(&bytes, (struct str){p + i, 1});
    is_bytes = is_bytes && utf8_is_complete(&bytes);
    if (is_whole != is_bytes)
        fail_msg("%02x %02x…: whole %d, byte by byte %d", (unsigned char)p[0], (unsigned char)p[1],
                 is_whole, is_bytes);
    return is_whole;
}

static void test_every_character(void **state)
{
    char text[8] = {0};

    (void)state;
    for (uint32_t c = 0; c < 0x200000; c++) {
        bool want = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        if (is_good(text, encode(c, text)) != want)
            fail_msg("U+%04X: want %d", (unsigned)c, want);
    }
}

/* Of all sequences of two and three bytes, those that are characters written the short way, and
 * nothing else: so many there are. */
static void test_every_sequence(void **state)
{
    const size_t ascii = 0x80, of_two = 0x800 - 0x80, of_three = 0x10000 - 0x800 - 0x800;
    size_t two = 0, three = 0;
    char text[3];

    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            text[0] = (char)a;
            text[1] = (char)b;
            two += is_good(text, 2);
            for (unsigned c = 0; c < 256; c++) {
                text[2] = (char)c;
                three += is_good(text, 3);
            }
        }
    assert_int_equal(two, ascii * ascii + of_two);
    assert_int_equal(three, ascii * ascii * ascii + 2 * ascii * of_two + of_three);
}

/* A bad byte is found wherever it stands among ASCII that is skipped by words. */
static void test_positions(void **state)
{
    char text[40];

    (void)state;
    for (size_t len = 1; len <= sizeof text; len++)
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', len);
            assert_true(is_good(text, len));
            text[at] = (char)0x80;
            assert_false(is_good(text, len));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_every_sequence),
        cmocka_unit_test(test_positions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
