/* JSON in: what is accepted and how it reads, what is refused and where. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

/* `want` is the document written again, compact. */
#define TEN     "0000000000"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

static const struct good_case {
    const char *name, *text, *want;
    unsigned flags;
} good_cases[] = {
    {"null", "null", "null", 0},
    {"space around", " \t\r\n[ 1 , true ,false , null ]\n", "[1,true,false,null]", 0},
    {"empty containers", "{\"a\":{ },\"b\":[ ]}", "{\"a\":{},\"b\":[]}", 0},
    {"order is kept", "{\"b\":1,\"a\":2,\"\":3}", "{\"b\":1,\"a\":2,\"\":3}", 0},
    {"escapes",
     "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\"", "\"\\\"\\\\/\\b\\f\\n\\r\\tAé\"", 0},
    {"surrogate pair", "\"\\ud834\\udd1e\\uD834\\uDD1E\"", "\"𝄞𝄞\"", 0},
    {"raw UTF-8, DEL", "\"é€𝄞\x7f\"", "\"é€𝄞\x7f\"", 0},
    {"number of 63 characters", "1" TEN TEN TEN TEN TEN TEN "00", "1e+62", 0},
    {"number of 64 characters", "1" TEN TEN TEN TEN TEN TEN "000", "1e+63", 0},
    {"long fraction", "{\"a\":0.1" SEVENTY ",\"b\": -12.5" SEVENTY " }",
     "{\"a\":0.1,\"b\":-12.5}", 0},
    {"long and whole", "[1," "5." SEVENTY ",\"x\",7" SEVENTY "e-70]",
     "[1,5,\"x\",7]", 0},
    {"long and small", "1" SEVENTY "e-400", "0", 0},
    {"whole numbers", "[0,-0,5.0,1e3,-7,9007199254740991]", "[0,0,5,1000,-7,9007199254740991]", 0},
    {"fractions", "[0.5,1e-7,1E+30,-2.25e-3,1e21,123456789012345678]",
     "[0.5,1e-7,1e+30,-0.00225,1e+21,123456789012345680]", 0},
    {"smallest and largest", "[5e-324,1.7976931348623157e308]",
     "[5e-324,1.7976931348623157e+308]", 0},
    {"same key in two objects", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
     "{\"a\":{\"a\":1},\"b\":{\"a\":1}}", 0},
    {"pair is no escaped byte",
     "\"\\ud800\\udc80\"", "\"\xf0\x90\x82\x80\"", JSON_SURROGATE_ESCAPE},
    {"pair before an escaped byte", "\"\\ud800\\udc80\\udcc3\\udca9\"", "\"\xf0\x90\x82\x80é\"",
     JSON_SURROGATE_ESCAPE},
};

static void test_good(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(good_cases); i++) {
        const struct good_case *c = &good_cases[i];
        struct err e = {0};
        struct json *root = json_parse(str_of(c->text), c->flags, &e);
        if (root == NULL)
            print_error("%s: %s\n", c->name, e.msg);
        unit_true(c->name, root != NULL);
        buf_clear(&out);
        json_put_value(&out, NULL, root);
        unit_equal(c->name, buf_cstr(&out), c->want);
        json_free(root);
    }
    buf_free(&out);
}

/* `want` follows "malformed JSON". */
static const struct bad_case {
    const char *name, *text, *want;
} bad_cases[] = {
    {"empty", "", " at byte 0: it ends too early"},
    {"only space", "  ", " at byte 2: it ends too early"},
    {"BOM", "\xef\xbb\xbf{}", " at byte 0: want a value"},
    {"trailing value", "{} {}", " at byte 3: something follows the value"},
    {"trailing comma", "[1,]", " at byte 3: want a value"},
    {"trailing comma in object", "{\"a\":1,}", " at byte 7: want a key in quotes"},
    {"no comma", "[1 2]", " at byte 3: want ',' or ']'"},
    {"wrong bracket", "[1}", " at byte 2: want ',' or ']'"},
    {"wrong bracket in object", "{\"a\":1]", " at byte 6: want ',' or '}'"},
    {"no colon", "{\"a\" 1}", " at byte 5: want ':'"},
    {"key without quotes", "{a:1}", " at byte 1: want a key in quotes"},
    {"comment", "[1/**/]", " at byte 2: want ',' or ']'"},
    {"word", "nul", " at byte 0: want a value"},
    {"capital word", "True", " at byte 0: want a value"},
    {"NaN", "NaN", " at byte 0: want a value"},
    {"single quotes", "'a'", " at byte 0: want a value"},
    {"form feed as space", "\f1", " at byte 0: want a value"},
    {"plus", "+1", " at byte 0: want a value"},
    {"leading zero", "01", " at byte 1: something follows the value"},
    {"no digit", "[-]", " at byte 2: want a value"},
    {"no whole digit", ".5", " at byte 0: want a value"},
    {"no fraction digit", "[1.]", " at byte 3: want a digit after the decimal point"},
    {"no exponent digit", "[1e+]", " at byte 4: want a digit of the exponent"},
    {"hexadecimal", "0x10", " at byte 1: something follows the value"},
    {"infinite", "[1e999]", " at byte 1: number out of range"},
    {"infinite, negative", "-1e400", " at byte 0: number out of range"},
    {"long and infinite",
     "[1" SEVENTY SEVENTY SEVENTY SEVENTY SEVENTY "]",
     " at byte 1: number out of range"},
    {"long and broken", "[0." SEVENTY "x]", " at byte 73: want ',' or ']'"},
    {"open string", "\"abc", " at byte 4: it ends too early"},
    {"open string after backslash", "\"abc\\", " at byte 5: it ends too early"},
    {"unknown escape", "\"\\x41\"", " at byte 2: unknown escape"},
    {"newline in a string", "\"a\nb\"", " at byte 2: control byte in a string"},
    {"escaped NUL", "\"a\\u0000\"", " at byte 2: NUL is not allowed"},
    {"escaped NUL in a key", "{\"\\u0000\":1}", " at byte 2: NUL is not allowed"},
    {"short \\u", "\"\\u12\"", " at byte 1: want four hex digits after \\u"},
    {"bad \\u", "\"\\u12g4\"", " at byte 1: want four hex digits after \\u"},
    {"lone high surrogate", "\"\\ud834x\"", " at byte 1: lone surrogate"},
    {"two high surrogates", "\"\\ud834\\ud834\"", " at byte 1: lone surrogate"},
    {"lone low surrogate", "\"\\udd1e\"", " at byte 1: lone surrogate"},
    {"escaped byte without the flag", "\"\\udc80\"", " at byte 1: lone surrogate"},
    {"raw surrogate", "\"\xed\xa0\x80\"", " at byte 1: not UTF-8"},
    {"overlong", "\"\xc0\xaf\"", " at byte 1: not UTF-8"},
    {"cut sequence", "\"\xe2\x82\"", " at byte 1: not UTF-8"},
    {"Latin-1 key", "{\"caf\xe9\":1}", " at byte 5: not UTF-8"},
    {"duplicate key", "{\"a\":1,\"b\":2,\"a\":3}", ": duplicate key \"a\""},
    {"duplicate key, escaped", "[{\"a\":1,\"\\u0061\":3}]", ": duplicate key \"a\""},
    {"duplicate key, line ends", "{\"\\n\":1,\"\\n\":3}", ": duplicate key \"\\x0a\""},
    {"duplicate key, deep", "{\"x\":[[{\"k\":{\"\":1,\"\":1}}]]}", ": duplicate key \"\""},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        struct err e = {0};
        char *exact = malloc(strlen(c->text) + 1); /* so that a read past the end is seen */
        memcpy(exact, c->text, strlen(c->text));
        unit_true(c->name, json_parse((struct str){exact, strlen(c->text)}, 0, &e) == NULL);
        free(exact);
        unit_true(c->name, e.code == ERR_PROTOCOL);
        unit_true(c->name, strncmp(e.msg, "malformed JSON", 14) == 0);
        unit_equal(c->name, e.msg + 14, c->want);
    }
}

static void test_raw_nul(void **state)
{
    struct err e = {0};

    (void)state;
    assert_null(json_parse(STR("\"a\0b\""), 0, &e));
    unit_equal("in a string", e.msg, "malformed JSON at byte 2: control byte in a string");
    assert_null(json_parse(STR("{}\0"), 0, &e));
    unit_equal("behind", e.msg, "malformed JSON at byte 2: something follows the value");
}

/* Every beginning of a valid text is refused, in a buffer that ends there. */
static void test_truncated(void **state)
{
    const struct str text =
        STR("{\"a\":[1.5e3,true,null,\"x\\u00e9\\ud834\\udd1e\xe2\x82\xac\"],\"b\":{}}");
    struct err e = {0};

    (void)state;
    for (size_t len = 0; len < text.len; len++) {
        char *exact = malloc(len + 1);
        memcpy(exact, text.p, len);
        char *cut = realloc(exact, len == 0 ? 1 : len);
        assert_non_null(cut);
        assert_null(json_parse((struct str){cut, len}, 0, &e));
        assert_int_equal(e.code, ERR_PROTOCOL);
        free(cut);
    }
    struct json *root = json_parse(text, 0, &e);
    assert_non_null(root);
    json_free(root);
}

static struct json *parse_nested(int depth, struct err *e)
{
    struct buf text = {0};

    for (int i = 0; i < depth; i++)
        buf_puts(&text, i % 2 ? "[" : "{\"k\":");
    buf_puts(&text, "1");
    for (int i = depth; i-- > 0;)
        buf_puts(&text, i % 2 ? "]" : "}");
    struct json *root = json_parse(buf_str(&text), 0, e);
    buf_free(&text);
    return root;
}

static void test_depth(void **state)
{
    struct err e = {0};
    struct json *root = parse_nested(JSON_MAX_DEPTH, &e);

    (void)state;
    assert_non_null(root);
    json_free(root);
    assert_null(parse_nested(JSON_MAX_DEPTH + 1, &e));
    unit_equal("one more", e.msg, "malformed JSON at byte 96: nested too deep");
    assert_null(parse_nested(100000, &e));
}

/* Large objects: all keys are found, one double among them is too. */
static void test_many_keys(void **state)
{
    enum { COUNT = 20000 };
    struct buf text = {0};
    struct err e = {0};
    int64_t number = 0;

    (void)state;
    buf_putc(&text, '{');
    for (int i = 0; i < COUNT; i++)
        buf_printf(&text, "%s\"key %d\":%d", i == 0 ? "" : ",", i * 7919 % COUNT, i);
    buf_putc(&text, '}');
    struct json *root = json_parse(buf_str(&text), 0, &e);
    assert_non_null(root);
    assert_int_equal(json_count(root), COUNT);
    assert_true(json_int(json_get(root, "key 7919"), &number) && number == 1);
    json_free(root);
    text.len--;
    buf_puts(&text, ",\"key 0\":1}");
    assert_null(json_parse(buf_str(&text), 0, &e));
    unit_equal("double", e.msg, "malformed JSON: duplicate key \"key 0\"");
    buf_free(&text);
}

static void test_reading(void **state)
{
    static const char *const all[] = {"s", "n", "f", "b", "a", "o", "z", NULL};
    static const char *const some[] = {"s", "n", "f", "a", "o", "z", NULL};
    struct err e = {0};
    struct str text = STR("unchanged"), unknown = {0};
    bool flag = false;
    double number = -1;
    int64_t whole = -1;

    (void)state;
    struct json *root = json_parse(
        STR("{\"s\":\"text\",\"n\":5.0,\"f\":2.5,\"b\":true,\"a\":[1,2,3],"
            "\"o\":{},\"z\":null}"),
        0, &e);
    assert_non_null(root);
    assert_true(json_str(json_get(root, "s"), &text));
    unit_equal_str("text", text, STR("text"));
    assert_true(json_int(json_get(root, "n"), &whole) && whole == 5);
    assert_false(json_int(json_get(root, "f"), &whole));
    assert_int_equal(whole, 5);
    assert_true(json_number(json_get(root, "f"), &number) && number == 2.5);
    assert_true(json_bool(json_get(root, "b"), &flag) && flag);
    assert_false(json_bool(json_get(root, "z"), &flag) || json_str(json_get(root, "n"), &text) ||
                 json_number(json_get(root, "s"), &number) || json_int(NULL, &whole));
    assert_null(json_get(root, "absent"));
    assert_null(json_get(json_get(root, "absent"), "deeper"));
    assert_null(json_get(json_get(root, "a"), "s"));
    assert_int_equal(json_type(json_get(root, "z")), JSON_NULL);
    assert_int_equal(json_type(json_get(root, "o")), JSON_OBJECT);
    assert_int_equal(json_count(json_get(root, "a")), 3);
    assert_int_equal(json_count(json_get(root, "o")), 0);
    const struct json *second = json_next(json_first(root));
    unit_equal_str("key", json_key(second), STR("n"));
    assert_true(json_only_keys(root, all, &unknown));
    assert_false(json_only_keys(root, some, &unknown));
    unit_equal_str("unknown", unknown, STR("b"));
    assert_false(json_only_keys(json_get(root, "a"), all, NULL));
    json_free(root);
    json_free(NULL);
}

static const struct int_case {
    const char *text;
    bool is_int;
    int64_t want;
} int_cases[] = {
    {"9007199254740991", true, JSON_MAX_SAFE_INTEGER},
    {"-9007199254740991", true, -JSON_MAX_SAFE_INTEGER},
    {"9007199254740992", false, 0},
    {"-9007199254740992", false, 0},
    {"1e300", false, 0},
    {"-1e300", false, 0},
    {"9007199254740990.5", true, 9007199254740990}, /* rounds when it is read */
    {"10.000", true, 10},
    {"0.1", false, 0},
    {"-0", true, 0},
};

static void test_int(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(int_cases); i++) {
        const struct int_case *c = &int_cases[i];
        struct json *root = json_parse(str_of(c->text), 0, ERR_IGNORED);
        int64_t value = 0;
        unit_true(c->text, root != NULL);
        unit_true(c->text, json_int(root, &value) == c->is_int && value == c->want);
        json_free(root);
    }
}

/* PROTOCOL.md §2: a path with bytes that are not UTF-8. */
static void test_surrogate_escape(void **state)
{
    struct str path;
    struct err e = {0};
    struct json *root = json_parse(
        STR("{\"path\": \"/d/\\udcff\\udc80 \\u00e9 \\ud83d\\ude00\\udcfe\", \"size\": 2}"),
        JSON_SURROGATE_ESCAPE, &e);

    (void)state;
    assert_non_null(root);
    assert_true(json_str(json_get(root, "path"), &path));
    unit_equal_str("path", path, STR("/d/\xff\x80 \xc3\xa9 \xf0\x9f\x98\x80\xfe"));
    json_free(root);
    assert_null(json_parse(STR("\"\\udc7f\""), JSON_SURROGATE_ESCAPE, &e));
    assert_null(json_parse(STR("\"\\udd00\""), JSON_SURROGATE_ESCAPE, &e));
    assert_null(json_parse(STR("\"\\ud800\""), JSON_SURROGATE_ESCAPE, &e));
    assert_null(json_parse(STR("\"\xff\""), JSON_SURROGATE_ESCAPE, &e));
    assert_null(json_parse(STR("\"\\udcff"), JSON_SURROGATE_ESCAPE, &e));
}

/* A process that has had many documents keeps memory for the next one: never for two. */
static void test_many_documents(void **state)
{
    enum { ALIVE = 3, DOCUMENTS = 300 };
    struct json *alive[ALIVE] = {NULL};
    char text[4096];
    int64_t value;

    (void)state;
    for (int i = 0; i < DOCUMENTS; i++) {
        struct json **place = &alive[i % ALIVE];
        int64_t before = 0;
        if (*place != NULL)
            assert_true(json_int(json_get(*place, "n"), &before) && before == i - ALIVE);
        json_free(*place);
        int len = snprintf(text, sizeof text, "{\"n\":%d,\"pad\":\"%0*d\"}", i,
                           1 + 37 * i % 3000, 0);
        *place = json_parse((struct str){text, (size_t)len}, JSON_STRICT, ERR_IGNORED);
        assert_true(json_int(json_get(*place, "n"), &value) && value == i);
    }
    for (int i = 0; i < ALIVE; i++)
        json_free(alive[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_bad),
        cmocka_unit_test(test_raw_nul),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_reading),       cmocka_unit_test(test_int),
        cmocka_unit_test(test_surrogate_escape), cmocka_unit_test(test_many_documents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
