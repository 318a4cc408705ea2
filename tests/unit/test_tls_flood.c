/* Records that move nothing: each case whole, byte by byte and at every two-way split. */
#include "net/tls_flood.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "unit.h"

#define WARNING                                                                                    \
    {                                                                                              \
        "\x15\x03\x03\x00\x02\x01\x70", 7                                                          \
    }
#define EMPTY                                                                                      \
    {                                                                                              \
        "\x16\x03\x03\x00\x00", 5                                                                  \
    }
#define REQUEST                                                                                    \
    {                                                                                              \
        "\x16\x03\x03\x00\x04\x00\x00\x00\x00", 9                                                  \
    }
#define CHANGE                                                                                     \
    {                                                                                              \
        "\x14\x03\x03\x00\x01\x01", 6                                                              \
    }
#define SEALED                                                                                     \
    {                                                                                              \
        "\x17\x03\x03\x00\x03"                                                                     \
        "abc",                                                                                     \
            8                                                                                      \
    }
/* The first six bytes of a message of 0x010203 bytes. */
#define LONG                                                                                       \
    {                                                                                              \
        "\x16\x03\x03\x00\x06\x0b\x01\x02\x03\x00\x00", 11                                         \
    }

static const struct {
    const char *name;
    struct str before, repeated;
    size_t count;
    bool is_enough;
} cases[] = {
    {"48 warnings", {"", 0}, WARNING, TLS_FLOOD_MAX_IDLE, false},
    {"49 warnings", {"", 0}, WARNING, TLS_FLOOD_MAX_IDLE + 1, true},
    {"48 empty records", {"", 0}, EMPTY, TLS_FLOOD_MAX_IDLE, false},
    {"49 empty records", {"", 0}, EMPTY, TLS_FLOOD_MAX_IDLE + 1, true},
    {"32 messages", {"", 0}, REQUEST, TLS_FLOOD_MAX_MESSAGES, false},
    {"33 messages", {"", 0}, REQUEST, TLS_FLOOD_MAX_MESSAGES + 1, true},
    {"a long message in many records", {"", 0}, LONG, 100, false},
    {"48 sealed records", CHANGE, SEALED, TLS_FLOOD_MAX_IDLE, false},
    {"49 sealed records", CHANGE, SEALED, TLS_FLOOD_MAX_IDLE + 1, true},
    {"nothing", {"", 0}, {"", 0}, 1, false},
};

static bool is_enough(struct str data, size_t first, size_t step)
{
    struct tls_flood f = {0};
    struct err e = {0};

    for (size_t i = 0; i < data.len; i += i == 0 ? first : step) {
        struct str piece = str_slice(data, i, i + (i == 0 ? first : step));
        if (tls_flood_note(&f, piece, &e) != 0)
            return e.code == ERR_PROTOCOL;
    }
    return false;
}

static void ends_what_has_no_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct buf all = {0};
        buf_put(&all, cases[i].before);
        for (size_t k = 0; k < cases[i].count; k++)
            buf_put(&all, cases[i].repeated);
        for (size_t at = 1; at <= all.len; at++)
            unit_true(cases[i].name,
                      is_enough(buf_str(&all), at, SIZE_MAX / 2) == cases[i].is_enough);
        unit_true(cases[i].name, is_enough(buf_str(&all), 1, 1) == cases[i].is_enough);
        buf_free(&all);
    }
}

static void data_end_the_count_and_enough_stays_enough(void **state)
{
    struct tls_flood f = {0};
    struct err e;

    (void)state;
    assert_int_equal(tls_flood_note(&f, (struct str)CHANGE, &e), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(tls_flood_note(&f, (struct str)SEALED, &e), 0);
        tls_flood_reset(&f);
    }
    for (int i = 0; i < TLS_FLOOD_MAX_IDLE; i++)
        assert_int_equal(tls_flood_note(&f, (struct str)SEALED, &e), 0);
    assert_int_equal(tls_flood_note(&f, (struct str)SEALED, &e), -1);
    assert_int_equal(tls_flood_note(&f, (struct str)SEALED, &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_what_has_no_end),
        cmocka_unit_test(data_end_the_count_and_enough_stays_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
