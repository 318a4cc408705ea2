/* The binary messages of lines: what is written is read again, and everything else is refused. */
#include "unit.h"

#include "proto/line.h"

#define BYTES(literal) {(literal), sizeof(literal) - 1}

static const struct parse_case {
    const char *name;
    struct str bytes;
    bool is_message;
    struct line_message want;
} parse_cases[] = {
    {"want", BYTES("\1\4\3\2\1\5\0\0\0\xff\0\0\0\x20\0"), true,
     {.kind = LINE_WANT, .request = 0x01020304, .file = 5, .first = 255, .count = 32}},
    {"want of the last leaf", BYTES("\1\0\0\0\0\0\0\0\0\xff\xff\xff\xff\1\0"), true,
     {.kind = LINE_WANT, .first = UINT32_MAX, .count = 1}},
    {"want beyond the last leaf", BYTES("\1\0\0\0\0\0\0\0\0\xff\xff\xff\xff\2\0"), false, {0}},
    {"want of nothing", BYTES("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), false, {0}},
    {"want of too many", BYTES("\1\0\0\0\0\0\0\0\0\0\0\0\0\x21\0"), false, {0}},
    {"want, cut", BYTES("\1\0\0\0\0\0\0\0\0\0\0\0\0\1"), false, {0}},
    {"want, too long", BYTES("\1\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0"), false, {0}},
    {"cancel", BYTES("\2\1\0\0\x80"), true, {.kind = LINE_CANCEL, .request = 0x80000001}},
    {"cancel, cut", BYTES("\2\1\0\0"), false, {0}},
    {"cancel, too long", BYTES("\2\1\0\0\0\0"), false, {0}},
    {"data", BYTES("\3\1\0\0\0\2\0\0\0x"), true, {.kind = LINE_DATA, .request = 1, .first = 2}},
    {"data without a byte", BYTES("\3\1\0\0\0\2\0\0\0"), false, {0}},
    {"fail", BYTES("\4\1\0\0\0\3"), true, {.kind = LINE_FAIL, .request = 1, .reason = LINE_CLOSED}},
    {"fail for no reason", BYTES("\4\1\0\0\0\0"), false, {0}},
    {"fail for an unknown reason", BYTES("\4\1\0\0\0\4"), false, {0}},
    {"pages", BYTES("\5\1\0\0\0\2\0\0\0" "01234567890123456789012345678901"), true,
     {.kind = LINE_PAGES, .file = 1, .first = 2, .count = 1}},
    {"pages without a hash", BYTES("\5\1\0\0\0\2\0\0\0"), false, {0}},
    {"pages with a part of a hash", BYTES("\5\1\0\0\0\2\0\0\0" "0123456789"), false, {0}},
    {"page", BYTES("\6\1\0\0\0\2\0\0\0" "01234567890123456789012345678901"
                 "01234567890123456789012345678901"), true,
     {.kind = LINE_PAGE, .file = 1, .first = 2, .count = 2}},
    {"page beyond the last", BYTES("\6\1\0\0\0\xff\xff\xff\xff" "01234567890123456789012345678901"
                                 "01234567890123456789012345678901"), false, {0}},
    {"nothing", BYTES(""), false, {0}},
    {"kind 0", BYTES("\0\0\0\0\0"), false, {0}},
    {"kind 7", BYTES("\7\0\0\0\0"), false, {0}},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        struct line_message m;
        unit_true(c->name, line_parse(c->bytes, &m) == c->is_message);
        if (!c->is_message)
            continue;
        unit_true(c->name, m.kind == c->want.kind && m.request == c->want.request &&
                               m.file == c->want.file && m.first == c->want.first &&
                               m.count == c->want.count && m.reason == c->want.reason);
    }
}

/* A message with that many bytes behind its head. */
static bool parses_with(enum line_kind kind, size_t bytes, struct line_message *m)
{
    static char text[9 + LINE_MAX_PAGES * LINE_HASH_BYTES + LINE_HASH_BYTES];

    text[0] = (char)kind;
    return line_parse((struct str){text, 9 + bytes}, m);
}

static void test_longest(void **state)
{
    struct line_message m;

    (void)state;
    assert_true(parses_with(LINE_DATA, LINE_LEAF_BYTES, &m) && m.bytes.len == LINE_LEAF_BYTES);
    assert_false(parses_with(LINE_DATA, LINE_LEAF_BYTES + 1, &m));
    assert_true(parses_with(LINE_PAGE, LINE_PAGE_LEAVES * LINE_HASH_BYTES, &m) && m.count == 1024);
    assert_false(parses_with(LINE_PAGE, (LINE_PAGE_LEAVES + 1) * LINE_HASH_BYTES, &m));
    assert_true(parses_with(LINE_PAGES, LINE_MAX_PAGES * LINE_HASH_BYTES, &m));
    assert_false(parses_with(LINE_PAGES, (LINE_MAX_PAGES + 1) * LINE_HASH_BYTES, &m));
}

static void test_put(void **state)
{
    struct buf out = {0};
    char hash[LINE_HASH_BYTES];

    (void)state;
    memset(hash, 'h', sizeof hash);
    line_put_want(&out, 0x01020304, 5, 255, 32);
    unit_equal_str("want", buf_str(&out), parse_cases[0].bytes);
    buf_clear(&out);
    line_put_cancel(&out, 0x80000001);
    unit_equal_str("cancel", buf_str(&out), STR("\2\1\0\0\x80"));
    buf_clear(&out);
    line_put_data_head(&out, 1, 2);
    unit_equal_str("data", buf_str(&out), STR("\3\1\0\0\0\2\0\0\0"));
    buf_clear(&out);
    line_put_fail(&out, 1, LINE_CLOSED);
    unit_equal_str("fail", buf_str(&out), STR("\4\1\0\0\0\3"));
    buf_clear(&out);
    line_put_pages(&out, 1, 2, (struct str){hash, sizeof hash});
    unit_equal_str("pages", buf_str(&out),
                   STR("\5\1\0\0\0\2\0\0\0hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"));
    buf_clear(&out);
    line_put_page(&out, 1, 2, (struct str){hash, sizeof hash});
    unit_equal_str("page", buf_str(&out),
                   STR("\6\1\0\0\0\2\0\0\0hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_put),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
