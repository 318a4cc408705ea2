/* What `load -d` calls files: never above the folder, never what means something there. */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "cmd/load_names.h"

#define HASH "0123456789abcdef0123456789abcdef01234567"
#define OTHER "76543210fedcba9876543210fedcba9876543210"
#define TEN "aaaaaaaaaa"
#define FIFTY TEN TEN TEN TEN TEN
#define LONG FIFTY FIFTY FIFTY FIFTY FIFTY /* 250 */

static const struct name_case {
    const char *name, *label, *want;
} name_cases[] = {
    {"plain", "rec.nwb", "rec.nwb"},
    {"none", "", HASH},
    {"path", "a/b/rec.nwb", "rec.nwb"},
    {"absolute", "/etc/passwd", "passwd"},
    {"upwards", "../../x", "x"},
    {"encoded slashes", "..%2F..%2Fx", "x"},
    {"slash at the end", "folder/", "folder"},
    {"dot", ".", HASH},
    {"dots", "..", HASH},
    {"dots behind a slash", "a/..", HASH},
    {"dots before slashes", "..//", HASH},
    {"encoded dots", "%2E%2e", HASH},
    {"three dots", "...", "..."},
    {"slashes alone", "///", HASH},
    {"hidden", ".zgroup", ".zgroup"},
    {"NUL", "a%00b", HASH},
    {"line end", "a%0Ab", "a%0Ab"},
    {"escape", "%1b%5B31mred", "%1B[31mred"},
    {"DEL", "a%7f", "a%7F"},
    {"C1", "a%C2%9Bb", "a%C2%9Bb"},
    {"UTF-8", "%E2%82%ACuro.txt", "\xe2\x82\xacuro.txt"},
    {"no UTF-8", "a%ffb", "a%FFb"},
    {"bad escape", "50%", "50%"},
    {"bad escape before a slash", "%zz/x", "x"},
    {"plus", "a+b", "a+b"},
    {"blanks", "a%20b", "a b"},
    {"as a download that goes on", HASH ".part", HASH},
    {"as another's download", "x/" OTHER ".part", HASH},
    {"part of something else", "a.part", "a.part"},
    {"as a temporary file", "a.tmp.01234567", HASH},
    {"255", LONG "a.bin", LONG "a.bin"},
    {"256", LONG "aa.bin", LONG "a.bin"},
    {"300 without extension", LONG FIFTY, LONG "aaaaa"},
    {"cut at a character", LONG "aaaa\xe2\x82\xac", LONG "aaaa"},
    {"all extension", "a." LONG FIFTY, "a." LONG "aaa"},
};

static void test_names(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        buf_clear(&out);
        load_names_put(&out, str_of(c->label), HASH);
        unit_equal(c->name, buf_cstr(&out), c->want);
    }
    buf_free(&out);
}

static const struct number_case {
    const char *name, *given;
    unsigned long n;
    const char *want;
} number_cases[] = {
    {"extension", "rec.nwb", 2, "rec-2.nwb"},
    {"none", "rec", 3, "rec-3"},
    {"hidden", ".zgroup", 2, ".zgroup-2"},
    {"two", "a.tar.gz", 10, "a.tar-10.gz"},
    {"long", LONG "a.bin", 2, &(LONG "-2.bin")[1]},
    {"dot at the end", "a.", 2, "a-2."},
};

static void test_numbers(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(number_cases); i++) {
        const struct number_case *c = &number_cases[i];
        buf_clear(&out);
        load_names_put_numbered(&out, str_of(c->given), c->n);
        unit_equal(c->name, buf_cstr(&out), c->want);
        unit_true(c->name, out.len <= LOAD_NAMES_MAX_BYTES);
    }
    buf_free(&out);
}

static const char *take(struct load_names *names, const char *wanted, const char *hash,
                        struct buf *out)
{
    struct err e;

    buf_clear(out);
    assert_int_equal(load_names_take(names, str_of(wanted), hash, out, &e), 0);
    return buf_cstr(out);
}

static void test_clashes(void **state)
{
    struct load_names names = {0};
    struct buf out = {0};

    (void)state;
    unit_equal("first", take(&names, "a.x", HASH, &out), "a.x");
    unit_equal("same hash", take(&names, "a.x", HASH, &out), "a.x");
    unit_equal("other hash", take(&names, "a.x", OTHER, &out), "a-2.x");
    unit_equal("other name", take(&names, "b.x", OTHER, &out), "b.x");
    unit_equal("a number that is a label", take(&names, "a-2.x", HASH, &out), "a-2-2.x");
    for (unsigned long n = 0; n < 2000; n++) {
        char hash[41], want[20];
        snprintf(hash, sizeof hash, "%040lx", n);
        snprintf(want, sizeof want, n == 0 ? "m" : "m-%lu", n + 1);
        unit_equal("many", take(&names, "m", hash, &out), want);
    }
    load_names_free(&names);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_clashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
