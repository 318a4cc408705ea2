/* The table-driven reader and writer of JSON objects: each kind, its limits, what is refused. */
#include "unit.h"

#include "base/fields.h"

struct all {
    struct str text, path, hex;
    char name[5];
    int64_t number, whole, clamped, signed_number, any;
    uint64_t large;
    double real;
    bool is_on;
    const struct json *object, *array;
};

#define AT(member) offsetof(struct all, member)

static bool is_absolute(const void *member)
{
    return str_starts_with(*(const struct str *)member, STR("/"));
}

static const struct field all_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "all"},
    {.name = "text", .kind = FIELD_STRING, .at = AT(text), .min = 1, .max = 3, .is_optional = true},
    {.name = "path", .kind = FIELD_PATH, .at = AT(path), .is_good = is_absolute,
     .is_optional = true},
    {.name = "hex", .kind = FIELD_HEX, .at = AT(hex), .max = 4, .is_optional = true},
    {.name = "name", .kind = FIELD_CHARS, .at = AT(name), .max = 4, .is_optional = true},
    {.name = "number", .kind = FIELD_INT, .at = AT(number), .is_optional = true},
    {.name = "signed", .kind = FIELD_INT, .at = AT(signed_number), .min = -1, .max = 5,
     .is_optional = true},
    {.name = "any", .kind = FIELD_SIGNED, .at = AT(any), .is_optional = true},
    {.name = "whole", .kind = FIELD_WHOLE, .at = AT(whole), .is_optional = true},
    {.name = "clamped", .kind = FIELD_CLAMPED, .at = AT(clamped), .max = 100, .is_optional = true},
    {.name = "large", .kind = FIELD_UINT64, .at = AT(large), .is_optional = true},
    {.name = "real", .kind = FIELD_DOUBLE, .at = AT(real), .is_optional = true},
    {.name = "is_on", .kind = FIELD_BOOL, .at = AT(is_on), .is_optional = true},
    {.name = "object", .kind = FIELD_OBJECT, .at = AT(object), .is_optional = true},
    {.name = "array", .kind = FIELD_ARRAY, .at = AT(array), .is_optional = true},
    {.kind = FIELD_END},
};

static const struct field loose_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "loose"},
    {.name = "number", .kind = FIELD_INT, .at = AT(number)},
    {.kind = FIELD_OTHERS},
};

/* Texts that fill their row: no NUL is behind them. */
#define LONGEST_NAME "abcdefghijklmnopqr"
#define LONGEST_WORD "ABCDEFGHIJKLMNOPQRSTUVWX"
static const struct field long_fields[] = {
    {.name = LONGEST_NAME, .kind = FIELD_WORD, .word = LONGEST_WORD},
    {.name = "number", .kind = FIELD_INT, .at = AT(number), .max = UINT32_MAX, .is_optional = true},
    {.kind = FIELD_END},
};

static const struct field *const messages[] = {all_fields, loose_fields, long_fields, NULL};

#define ALL "{\"type\":\"all\","

/* `want` is the object written again, or "! " and the cause. */
static const struct field_case {
    const char *name, *text, *want;
} cases[] = {
    {"string", ALL "\"text\":\"abc\"}", NULL},
    {"string too short", ALL "\"text\":\"\"}", "! bad value of \"text\""},
    {"string too long", ALL "\"text\":\"abcd\"}", "! bad value of \"text\""},
    {"string of another type", ALL "\"text\":1}", "! bad value of \"text\""},
    {"path with bytes that are no UTF-8", ALL "\"path\":\"/a\\udcff\"}", NULL},
    {"path with a check", ALL "\"path\":\"a\"}", "! bad value of \"path\""},
    {"hex", ALL "\"hex\":\"0a9f\"}", NULL},
    {"hex too short", ALL "\"hex\":\"0a9\"}", "! bad value of \"hex\""},
    {"hex in capitals", ALL "\"hex\":\"0A9F\"}", "! bad value of \"hex\""},
    {"chars", ALL "\"name\":\"abcd\"}", NULL},
    {"chars too long", ALL "\"name\":\"abcde\"}", "! bad value of \"name\""},
    {"int", ALL "\"number\":9007199254740991}", NULL},
    {"int, whole", ALL "\"number\":5.0}", ALL "\"number\":5}"},
    {"int below 0", ALL "\"number\":-1}", "! bad value of \"number\""},
    {"int with a fraction", ALL "\"number\":1.5}", "! bad value of \"number\""},
    {"signed int", ALL "\"number\":0,\"signed\":-1}", NULL},
    {"signed int, limits", ALL "\"signed\":6}", "! bad value of \"signed\""},
    {"signed int, limits below", ALL "\"signed\":-2}", "! bad value of \"signed\""},
    {"any int, least", ALL "\"any\":-9007199254740991}", NULL},
    {"any int, largest", ALL "\"any\":9007199254740991}", NULL},
    {"any int with a fraction", ALL "\"any\":-0.5}", "! bad value of \"any\""},
    {"whole drops a fraction", ALL "\"whole\":1.9}", ALL "\"whole\":1}"},
    {"whole below 0", ALL "\"whole\":-0.5}", "! bad value of \"whole\""},
    {"whole too large", ALL "\"whole\":1e300}", "! bad value of \"whole\""},
    {"clamped above", ALL "\"clamped\":1e300}", ALL "\"clamped\":100}"},
    {"clamped below", ALL "\"clamped\":-1e300}", ALL "\"clamped\":0}"},
    {"clamped inside", ALL "\"clamped\":7.5}", ALL "\"clamped\":7}"},
    {"clamped of another type", ALL "\"clamped\":\"7\"}", "! bad value of \"clamped\""},
    {"large", ALL "\"large\":\"18446744073709551615\"}", NULL},
    {"large, overflow", ALL "\"large\":\"18446744073709551616\"}", "! bad value of \"large\""},
    {"large as a number", ALL "\"large\":1}", "! bad value of \"large\""},
    {"real", ALL "\"real\":0.1}", NULL},
    {"real of another type", ALL "\"real\":true}", "! bad value of \"real\""},
    {"bool", ALL "\"is_on\":true}", NULL},
    {"bool of another type", ALL "\"is_on\":1}", "! bad value of \"is_on\""},
    {"object", ALL "\"object\":{\"a\":[1]}}", NULL},
    {"object that is an array", ALL "\"object\":[]}", "! bad value of \"object\""},
    {"array", ALL "\"array\":[1,\"a\"]}", NULL},
    {"array that is an object", ALL "\"array\":{}}", "! bad value of \"array\""},
    {"unknown field", ALL "\"other\\n\":1}", "! unknown field \"other\\x0a\""},
    {"unknown field of a loose one", "{\"type\":\"loose\",\"other\":1,\"number\":2}",
     "{\"type\":\"loose\",\"number\":2}"},
    {"no field", "{\"type\":\"loose\"}", "! no field \"number\""},
    {"null is no absence", "{\"type\":\"loose\",\"number\":null}", "! bad value of \"number\""},
    {"texts that fill their row", "{\"" LONGEST_NAME "\":\"" LONGEST_WORD "\",\"number\":1}", NULL},
    {"word that is too long", "{\"" LONGEST_NAME "\":\"" LONGEST_WORD "Y\"}",
     "! no string field \"type\""},
    {"limit of 32 bits", "{\"" LONGEST_NAME "\":\"" LONGEST_WORD "\",\"number\":4294967296}",
     "! bad value of \"number\""},
    {"unknown message", "{\"type\":\"ALL\"}", "! a message of unknown type \"ALL\""},
    {"no type", "{\"number\":2}", "! no string field \"type\""},
    {"type of another type", "{\"type\":2}", "! no string field \"type\""},
    {"no object", "[]", "! want an object"},
    {"a string", "\"all\"", "! want an object"},
};

/* All of them out of their limits or empty: what is optional is left out. */
static struct all nothing(void)
{
    return (struct all){.number = -1, .signed_number = -2, .whole = -1, .clamped = -1,
                        .any = INT64_MIN};
}

/* Numbers without a limit of absence are not in the objects of the cases that lack them. */
static void put_again(struct buf *out, int which, const struct all *all, uint32_t seen)
{
    static const char *const always[] = {"large", "real"};
    struct field some[FIELDS_MAX_ROWS];
    size_t count = 0;

    for (const struct field *f = messages[which]; f->name[0] != '\0'; f++) {
        bool is_always = strcmp(f->name, always[0]) == 0 || strcmp(f->name, always[1]) == 0;
        if (!is_always || fields_has(messages[which], seen, f->name))
            some[count++] = *f;
    }
    some[count] = (struct field){.kind = FIELD_END};
    fields_put(out, some, all);
}

static void test_cases(void **state)
{
    struct buf got = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct field_case *c = &cases[i];
        struct json *root = json_parse(str_of(c->text), JSON_SURROGATE_ESCAPE, ERR_IGNORED);
        struct all all = nothing();
        struct err e = {0};
        uint32_t seen = 0;
        int which;

        unit_true(c->name, root != NULL);
        buf_clear(&got);
        which = fields_read_one_of(messages, root, &all, &e);
        if (which >= 0 && fields_read(messages[which], root, &all, &seen, &e) == 0)
            put_again(&got, which, &all, seen);
        else
            buf_printf(&got, "! %s", e.msg);
        unit_true(c->name, which >= 0 || e.code == ERR_PROTOCOL);
        unit_equal(c->name, buf_cstr(&got), c->want != NULL ? c->want : c->text);
        json_free(root);
    }
    buf_free(&got);
}

static void test_absent_keeps_default(void **state)
{
    struct json *root = json_parse(STR(ALL "\"text\":\"a\"}"), JSON_STRICT, ERR_IGNORED);
    struct all all = {.number = 42};
    uint32_t seen = 0;

    (void)state;
    assert_int_equal(fields_read(all_fields, root, &all, &seen, ERR_IGNORED), 0);
    assert_int_equal(all.number, 42);
    assert_true(fields_has(all_fields, seen, "text"));
    assert_true(fields_has(all_fields, seen, "type"));
    assert_false(fields_has(all_fields, seen, "number"));
    assert_false(fields_has(all_fields, seen, "no such row"));
    json_free(root);
}

static void test_no_document(void **state)
{
    struct all all = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(fields_read(all_fields, NULL, &all, NULL, &e), -1);
    assert_string_equal(e.msg, "want an object");
    assert_int_equal(fields_read_one_of(messages, NULL, &all, &e), -1);
    assert_int_equal(fields_find(messages, NULL), -1);
}

/* An array that the caller writes itself stands behind the members of the table. */
static void test_members_and_more(void **state)
{
    struct all all = {.number = 3};
    struct buf out = {0};

    (void)state;
    json_open(&out, '{');
    fields_put_members(&out, loose_fields, &all);
    json_open_member(&out, "array", '[');
    json_put_int(&out, NULL, 1);
    json_close(&out, ']');
    json_close(&out, '}');
    assert_string_equal(buf_cstr(&out), "{\"type\":\"loose\",\"number\":3,\"array\":[1]}");
    buf_free(&out);
}

/* Hundreds of rows are in the program: what one of them needs, all have. */
static void test_a_row_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct field) <= 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_absent_keeps_default),
        cmocka_unit_test(test_no_document),
        cmocka_unit_test(test_members_and_more),
        cmocka_unit_test(test_a_row_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
