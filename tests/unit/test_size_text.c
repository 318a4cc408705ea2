#include "base/size_text.h"
#include "unit.h"

static const struct {
    const char *name, *text;
    int64_t max, bytes; /* -1: refused */
} cases[] = {
    {"bare", "4096", INT64_MAX, 4096},
    {"zero", "0", INT64_MAX, 0},
    {"bytes", "12B", INT64_MAX, 12},
    {"kilo", "10k", INT64_MAX, 10000},
    {"mega", "10MB", INT64_MAX, 10000000},
    {"small letters", "10mb", INT64_MAX, 10000000},
    {"blank", "2 GB", INT64_MAX, 2000000000},
    {"decimals", "1.5GB", INT64_MAX, 1500000000},
    {"tera", "2TB", INT64_MAX, 2000000000000},
    {"below a byte", "1.0009kB", INT64_MAX, 1000},
    {"most", "9223372036854775807", INT64_MAX, INT64_MAX},
    {"the limit", "10MB", 10000000, 10000000},
    {"past the limit", "10.1MB", 10000000, -1},
    {"too large", "9223372036854775808", INT64_MAX, -1},
    {"overflow", "9300000TB", INT64_MAX, -1},
    {"overflow by decimals", "9223372.99TB", INT64_MAX, -1},
    {"empty", "", INT64_MAX, -1},
    {"a unit alone", "MB", INT64_MAX, -1},
    {"negative", "-1", INT64_MAX, -1},
    {"no decimals", "1.MB", INT64_MAX, -1},
    {"two points", "1.2.3", INT64_MAX, -1},
    {"binary unit", "10MiB", INT64_MAX, -1},
    {"another unit", "10 MBit", INT64_MAX, -1},
    {"two blanks", "10  MB", INT64_MAX, -1},
    {"blank at the end", "10 ", INT64_MAX, -1},
};

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t bytes = -1;
        bool is_read = size_text_read(str_of(cases[i].text), cases[i].max, &bytes);
        if (is_read != (cases[i].bytes >= 0) || bytes != cases[i].bytes)
            fail_msg("%s: %s gave %d, %lld", cases[i].name, cases[i].text, is_read,
                     (long long)bytes);
    }
}

static void test_put(void **state)
{
    static const struct {
        double bytes;
        const char *want;
    } amounts[] = {{0, "0 B"},          {999, "999 B"},      {1000, "1.0 kB"},   {9940, "9.9 kB"},
                   {9960, "10 kB"},     {82e6, "82 MB"},     {3.1e9, "3.1 GB"},  {1.9e12, "1.9 TB"},
                   {1.234e15, "1234 TB"}, {999999, "1000 kB"}};

    (void)state;
    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++) {
        struct buf out = {0};
        size_text_put(&out, amounts[i].bytes);
        unit_equal(amounts[i].want, buf_cstr(&out), amounts[i].want);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_put)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
