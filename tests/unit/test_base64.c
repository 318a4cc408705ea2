#include "base/base64.h"

#include "unit.h"

/* RFC 4648 §10, and what its tests leave out. */
static const struct {
    const char *name, *raw, *text;
} pairs[] = {
    {"empty", "", ""},
    {"f", "f", "Zg=="},
    {"fo", "fo", "Zm8="},
    {"foo", "foo", "Zm9v"},
    {"foob", "foob", "Zm9vYg=="},
    {"fooba", "fooba", "Zm9vYmE="},
    {"foobar", "foobar", "Zm9vYmFy"},
    {"all ones", "\xff\xff\xff\xff", "/////w=="},
    {"plus", "\xfb\xef\xbe", "++++"},
};

static void test_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(pairs); i++) {
        struct buf text = {0}, raw = {0};

        base64_put(&text, str_of(pairs[i].raw));
        unit_equal(pairs[i].name, buf_cstr(&text), pairs[i].text);
        unit_true(pairs[i].name, base64_decode(&raw, str_of(pairs[i].text)));
        unit_equal(pairs[i].name, buf_cstr(&raw), pairs[i].raw);
        buf_free(&text);
        buf_free(&raw);
    }
}

static const struct {
    const char *name, *text;
} refused[] = {
    {"one digit", "Z"},
    {"no padding", "Zg"},
    {"half a padding", "Zg="},
    {"padding alone", "===="},
    {"three paddings", "Z==="},
    {"padding inside", "Zg==Zg=="},
    {"digit behind padding", "Zg=v"},
    {"unused bits", "Zh=="},
    {"unused bits of two bytes", "Zm9="},
    {"space", "Zm9 "},
    {"line feed", "Zm9v\nZm9v"},
    {"URL alphabet", "-_-_"},
    {"not ASCII", "\xc3\xa4\xc3\xa4"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(refused); i++) {
        struct buf raw = {0};

        buf_puts(&raw, "kept");
        unit_true(refused[i].name, !base64_decode(&raw, str_of(refused[i].text)));
        unit_equal(refused[i].name, buf_cstr(&raw), "kept");
        buf_free(&raw);
    }
    struct buf raw = {0};
    unit_true("NUL", !base64_decode(&raw, (struct str){"Zm\0v", 4}));
    buf_free(&raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
