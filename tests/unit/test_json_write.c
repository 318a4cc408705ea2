/* JSON out: commas, strings, numbers as Python prints them, the text that signatures cover. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "base/ed25519.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/sha1.h"

static void test_document(void **state)
{
    struct buf b = {0};

    (void)state;
    json_open(&b, '{');
    json_put_str(&b, "s", STR("a"));
    json_put_int(&b, "n", -5);
    json_put_count(&b, "known", 0);
    json_put_count(&b, "unknown", -1);
    json_open_member(&b, "empty", '{');
    json_close(&b, '}');
    json_put_bool(&b, "t", true);
    json_put_bool(&b, "f", false);
    json_put_null(&b, "z");
    json_open_member(&b, "list", '[');
    json_put_int(&b, NULL, 1);
    json_open(&b, '[');
    json_close(&b, ']');
    json_put_str(&b, NULL, STR("["));
    json_put_str(&b, NULL, STR("{"));
    json_open(&b, '{');
    json_close(&b, '}');
    json_put_null(&b, NULL);
    json_put_double(&b, NULL, 0.5);
    json_close(&b, ']');
    json_put_raw(&b, "raw", STR("{\"x\":[]}"));
    json_put_str(&b, "", STR(""));
    json_close(&b, '}');
    unit_equal("document", buf_cstr(&b),
               "{\"s\":\"a\",\"n\":-5,\"known\":0,\"unknown\":null,"
               "\"empty\":{},\"t\":true,\"f\":false,"
               "\"z\":null,"
               "\"list\":[1,[],\"[\",\"{\",{},null,0.5],\"raw\":{\"x\":[]},\"\":\"\"}");
    buf_putc(&b, '\n');
    b.len = 0;
    buf_puts(&b, "HTTP/1.1 200 OK\r\n\r\n");
    json_open(&b, '{');
    unit_equal("behind a head", buf_cstr(&b), "HTTP/1.1 200 OK\r\n\r\n{");
    buf_free(&b);
}

/* Text, and how json_put_str and json_put_path write it. */
static void test_whole_numbers(void **state)
{
    static const int64_t numbers[] = {0, 7, -7, 10, -10, 1732000000123, INT64_MAX, INT64_MIN};
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(numbers); i++)
        json_put_int(&b, NULL, numbers[i]);
    unit_equal("numbers", buf_cstr(&b),
               "0,7,-7,10,-10,1732000000123,9223372036854775807,-9223372036854775808");
    buf_free(&b);
}

static const struct string_case {
    const char *name, *text, *plain, *path;
} string_cases[] = {
    {"empty", "", "\"\"", "\"\""},
    {"quote and backslash", "a\"b\\c/d", "\"a\\\"b\\\\c/d\"", "\"a\\\"b\\\\c/d\""},
    {"named controls", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"", "\"\\b\\f\\n\\r\\t\""},
    {"other controls", "\x01\x1f", "\"\\u0001\\u001f\"", "\"\\u0001\\u001f\""},
    {"DEL", "~\x7f", "\"~\x7f\"", "\"~\\u007f\""},
    {"two bytes", "é", "\"é\"", "\"\\u00e9\""},
    {"three bytes", "€", "\"€\"", "\"\\u20ac\""},
    {"four bytes", "𝄞", "\"𝄞\"", "\"\\ud834\\udd1e\""},
    {"last code point", "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"", "\"\\udbff\\udfff\""},
    {"Latin-1", "caf\xe9", "\"caf\xef\xbf\xbd\"", "\"caf\\udce9\""},
    {"cut sequence", "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"", "\"\\udce2\\udc82\""},
    {"surrogate bytes", "\xed\xb2\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
     "\"\\udced\\udcb2\\udc80\""},
};

static void test_strings(void **state)
{
    struct buf b = {0};
    struct str again;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(string_cases); i++) {
        const struct string_case *c = &string_cases[i];
        buf_clear(&b);
        json_put_str(&b, NULL, str_of(c->text));
        unit_equal(c->name, buf_cstr(&b), c->plain);
        buf_clear(&b);
        json_put_path(&b, NULL, str_of(c->text));
        unit_equal(c->name, buf_cstr(&b), c->path);
        struct json *root = json_parse(buf_str(&b), JSON_SURROGATE_ESCAPE, ERR_IGNORED);
        unit_true(c->name, json_str(root, &again));
        unit_equal_str(c->name, again, str_of(c->text));
        json_free(root);
    }
    buf_clear(&b);
    json_put_str(&b, NULL, STR("a\0b"));
    unit_equal("NUL", buf_cstr(&b), "\"a\\u0000b\"");
    buf_free(&b);
}

/* As Python 3 prints repr(). */
static const struct double_case {
    double value;
    const char *want;
} double_cases[] = {
    {0.0, "0.0"},
    {-0.0, "-0.0"},
    {5, "5.0"},
    {-1.5, "-1.5"},
    {0.1, "0.1"},
    {1.0 / 3, "0.3333333333333333"},
    {1795336612.3007283, "1795336612.3007283"},
    {1795336612.000000001, "1795336612.0"},
    {1e15, "1000000000000000.0"},
    {9007199254740992, "9007199254740992.0"},
    {9999999999999998, "9999999999999998.0"},
    {1e16, "1e+16"},
    {12345678901234567890.0, "1.2345678901234567e+19"},
    {1e100, "1e+100"},
    {1e-4, "0.0001"},
    {1e-5, "1e-05"},
    {1.5e-10, "1.5e-10"},
    {5e-324, "5e-324"},
    {2.2250738585072014e-308, "2.2250738585072014e-308"},
    {1.7976931348623157e308, "1.7976931348623157e+308"},
    {INFINITY, "null"},
    {NAN, "null"},
};

static void test_doubles(void **state)
{
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(double_cases); i++) {
        buf_clear(&b);
        json_put_double(&b, NULL, double_cases[i].value);
        unit_equal(double_cases[i].want, buf_cstr(&b), double_cases[i].want);
    }
    buf_free(&b);
}

/* All mtimes of some seconds with odd nanoseconds read back to the same double. */
static void test_doubles_read_back(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        double value = 1795336612 + i * 7919 + 1e-9 * (i * 49999.0);
        buf_clear(&b);
        json_put_double(&b, NULL, value);
        assert_true(strtod(buf_cstr(&b), NULL) == value);
    }
    buf_free(&b);
}

/* Of times in our years, which are written in another way: the nearest of the shortest, as printf
 * finds it. */
static void test_times_are_shortest(void **state)
{
    static const double first[] = {1073741824.0, 1780272015.0, 2147483647.0};
    char text[40];
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 30000; i++) {
        const int digits = i % 10;
        double scale = 1, value;
        for (int j = 0; j < digits; j++)
            scale *= 10;
        value = first[i % 3] + (double)(i * 7919L % (long)scale) / scale;
        if (i % 5 == 0) /* halfway between two decimals */
            value = first[i % 3] + (2 * i + 1) % 256 / 256.0;
        int precision = 1;
        do
            snprintf(text, sizeof text, "%.*f", precision, value);
        while (strtod(text, NULL) != value && ++precision < 10);
        buf_clear(&b);
        json_put_double(&b, NULL, value);
        unit_equal(text, buf_cstr(&b), text);
    }
    buf_free(&b);
}

/* `javascript` and `python` are the two texts that gateways see. */
static const struct canonical_case {
    const char *name, *text, *javascript, *python;
} canonical_cases[] = {
    {"sorted at every depth", "{\"b\":[{\"y\":1,\"x\":{\"d\":0,\"c\":0}}],\"a\":2}",
     "{\"a\":2,\"b\":[{\"x\":{\"c\":0,\"d\":0},\"y\":1}]}",
     "{\"a\":2,\"b\":[{\"x\":{\"c\":0,\"d\":0},\"y\":1}]}"},
    {"prefix first", "{\"ab\":1,\"a\":2,\"\":3,\"B\":4}", "{\"\":3,\"B\":4,\"a\":2,\"ab\":1}",
     "{\"\":3,\"B\":4,\"a\":2,\"ab\":1}"},
    {"non-ASCII", "{\"é\":\"€\\u007f𝄞\"}", "{\"é\":\"€\x7f𝄞\"}",
     "{\"\\u00e9\":\"\\u20ac\\u007f\\ud834\\udd1e\"}"},
    {"slash and controls", "[\"\\/\\u0001\\u000b\\b\"]", "[\"/\\u0001\\u000b\\b\"]",
     "[\"/\\u0001\\u000b\\b\"]"},
    {"whole numbers", "[5.0,1e3,-0.0]", "[5,1000,0]", "[5,1000,0]"},
    {"small numbers", "[0.00001,1e-7]", "[0.00001,1e-7]", "[1e-05,1e-07]"},
    {"large numbers", "[1e20,1e21]", "[100000000000000000000,1e+21]", "[1e+20,1e+21]"},
    {"words", "[true,false,null,{},[]]", "[true,false,null,{},[]]", "[true,false,null,{},[]]"},
};

static void test_canonical(void **state)
{
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(canonical_cases); i++) {
        const struct canonical_case *c = &canonical_cases[i];
        struct json *root = json_parse(str_of(c->text), 0, ERR_IGNORED);
        unit_true(c->name, root != NULL);
        buf_clear(&b);
        json_put_canonical(&b, root, false);
        unit_equal(c->name, buf_cstr(&b), c->javascript);
        buf_clear(&b);
        json_put_canonical(&b, root, true);
        unit_equal(c->name, buf_cstr(&b), c->python);
        json_free(root);
    }
    buf_free(&b);
}

static struct str text_of(const struct json *object, const char *key)
{
    struct str text = {0};

    unit_true(key, json_str(json_get(object, key), &text));
    return text;
}

static void check_signed(const struct json *item, const unsigned char *pair)
{
    unsigned char hash[SHA1_SIZE], signature[ED25519_SIGNATURE];
    char hex[2 * ED25519_SIGNATURE + 1];
    struct str canonical = text_of(item, "canonical");
    struct buf b = {0};

    json_put_canonical(&b, json_get(item, "payload"), false);
    unit_equal_str("JavaScript's text", buf_str(&b), canonical);
    buf_clear(&b);
    json_put_canonical(&b, json_get(item, "payload"), true);
    unit_equal_str("Python's text", buf_str(&b), canonical);
    sha1_of(buf_str(&b), hash);
    hex_encode(hash, sizeof hash, hex);
    unit_equal_str("hash", str_of(hex), text_of(item, "sha1"));
    ed25519_sign(pair, (struct str){(char *)hash, sizeof hash}, signature);
    hex_encode(signature, sizeof signature, hex);
    unit_equal_str("signature", str_of(hex), text_of(item, "signature"));
    buf_free(&b);
}

/* What the deployed client signed: text, hash and signature. */
static void test_recorded(void **state)
{
    unsigned char seed[ED25519_SEED], pair[ED25519_PAIR];
    char hex[2 * ED25519_PUBLIC + 1];
    struct buf text = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(fs_read_file("tests/vectors/signatures.json", 1 << 20, &text, &e), 0);
    struct json *root = json_parse(buf_str(&text), 0, &e);
    assert_non_null(root);
    assert_true(hex_decode(text_of(root, "privateKeyHex"), seed, sizeof seed));
    ed25519_pair(seed, pair);
    hex_encode(pair + ED25519_SEED, ED25519_PUBLIC, hex);
    unit_equal_str("client", str_of(hex), text_of(root, "clientId"));
    const struct json *items = json_get(root, "signed");
    assert_true(json_count(items) >= 6);
    for (const struct json *item = json_first(items); item != NULL; item = json_next(item))
        check_signed(item, pair);
    json_free(root);
    buf_free(&text);
}

static void test_indented(void **state)
{
    static const struct {
        const char *name, *text, *want; /* NULL: as it stands */
    } cases[] = {
        {"scalar", "5", NULL},
        {"empty object", "{}", NULL},
        {"empty array", "[]", NULL},
        {"members in order", "{\"b\":1,\"a\":\"x\"}", "{\n    \"b\": 1,\n    \"a\": \"x\"\n}"},
        {"nested", "{\"a\":[1,{}],\"b\":{\"c\":null}}",
         "{\n    \"a\": [\n        1,\n        {}\n    ],\n"
         "    \"b\": {\n        \"c\": null\n    }\n}"},
        {"ASCII", "[\"\xc3\xa4\xf0\x9d\x84\x9e\x7f\\n\\\"\"]",
         "[\n    \"\\u00e4\\ud834\\udd1e\\u007f\\n\\\"\"\n]"},
        {"key in ASCII", "{\"\xc3\xa4\":true}", "{\n    \"\\u00e4\": true\n}"},
        {"doubles", "[1.5,1e-7,1e22,-3]",
         "[\n    1.5,\n    1e-07,\n    1e+22,\n    -3\n]"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const char *want = cases[i].want != NULL ? cases[i].want : cases[i].text;
        struct json *root = json_parse(str_of(cases[i].text), 0, ERR_IGNORED);
        struct buf b = {0};
        unit_true(cases[i].name, root != NULL);
        json_put_indented(&b, root);
        unit_equal(cases[i].name, buf_cstr(&b), want);
        json_free(root);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document),          cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_doubles),           cmocka_unit_test(test_doubles_read_back),
        cmocka_unit_test(test_times_are_shortest),
        cmocka_unit_test(test_canonical),         cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_indented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
