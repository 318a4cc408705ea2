/* YAML in: what the deployed programs and people write, and what is refused, with its line. */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/yaml.h"

/* Writes a tree with quotes around what is not plain, so that a case can be compared. */
static void put_tree(struct buf *b, const struct yaml *node)
{
    const char *quote = yaml_is_plain(node) ? "" : "'";

    if (yaml_type(node) == YAML_SCALAR) {
        buf_puts(b, quote);
        buf_put(b, yaml_text(node));
        buf_puts(b, quote);
        return;
    }
    bool is_mapping = yaml_type(node) == YAML_MAPPING;
    buf_putc(b, is_mapping ? '{' : '[');
    for (const struct yaml *c = yaml_first(node); c != NULL; c = yaml_next(c)) {
        if (is_mapping) {
            buf_put(b, yaml_key(c));
            buf_putc(b, '=');
        }
        put_tree(b, c);
        buf_putc(b, ';');
    }
    buf_putc(b, is_mapping ? '}' : ']');
}

static const struct good_case {
    const char *name, *text, *want;
} good_cases[] = {
    {"empty", "", "{}"},
    {"comments alone", "# nothing\n\n", "{}"},
    {"explicit empty document", "---\n...\n", "{}"},
    {"flow", "{a: 1, 'b': [x, \"y\", {c: true}]}", "{a=1;b=[x;'y';{c=true;};];}"},
    {"config", "resourceName: lab_1\nkacheryZone: default\nmaxConcurrentUploads: 2\n"
     "proxyUrl: https://proxy.example:443/\nproxySecret: 'a''b # c'\n",
     "{resourceName=lab_1;kacheryZone=default;maxConcurrentUploads=2;"
     "proxyUrl=https://proxy.example:443/;proxySecret='a'b # c';}"},
    {"js-yaml: folded long string",
     "proxySecret: >-\n  0123456789 0123456789\n  abcdefghij\n\n  k\n",
     "{proxySecret='0123456789 0123456789 abcdefghij\nk';}"},
    {"js-yaml: literal string", "t: |-\n  a\n   b\n  c\nu: |\n  d\n", "{t='a\n b\nc';u='d\n';}"},
    {"js-yaml: null, quoted words", "a: null\nb: 'true'\nc: ''\nd: '123'\n",
     "{a=null;b='true';c='';d='123';}"},
    {"js-yaml: nested lists",
     "authorizedUsers:\n  - userId: github|a\n    upload: true\n  - userId: b\n",
     "{authorizedUsers=[{userId=github|a;upload=true;};{userId=b;};];}"},
    {"list at the key's column", "buckets:\n- name: x\n", "{buckets=[{name=x;};];}"},
    {"no value", "a:\nb: 1\n", "{a=;b=1;}"},
    {"plain over two lines", "a: one\n  two\n", "{a=one two;}"},
    {"double-quoted escapes", "a: \"x\\ty\\u00e9\\x41\"\n", "{a='x\tyéA';}"},
    {"document marker, directive", "%YAML 1.2\n---\na: 1\n", "{a=1;}"},
    {"CRLF", "a: 1\r\nb: 2\r\n", "{a=1;b=2;}"},
    {"BOM", "\xef\xbb\xbf" "a: 1\nb: 2\n", "{a=1;b=2;}"},
    {"UTF-8", "naïve: €𝄞\n", "{naïve=€𝄞;}"},
    {"core tags", "a: !!str 5\nb: !!int \"5\"\nc: ! 5\n", "{a='5';b=5;c='5';}"},
    {"anchor alone", "a: &x 1\n", "{a=1;}"},
    {"top-level list", "- 1\n- 2\n", "[1;2;]"},
    {"top-level word", "word\n", "word"},
    {"quoted empty", "''\n", "''"},
};

static void test_good(void **state)
{
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(good_cases); i++) {
        const struct good_case *c = &good_cases[i];
        struct err e = {0};
        struct yaml *root = yaml_parse(str_of(c->text), "file", &e);
        if (root == NULL)
            print_error("%s: %s\n", c->name, e.msg);
        unit_true(c->name, root != NULL);
        buf_clear(&b);
        put_tree(&b, root);
        unit_equal(c->name, buf_cstr(&b), c->want);
        yaml_free(root);
    }
    buf_free(&b);
}

static const struct bad_case {
    const char *name, *text, *want;
} bad_cases[] = {
    {"duplicate key", "a: 1\nb: 2\n'a': 3\n", "f.yaml:3: duplicate key \"a\""},
    {"duplicate key, line ends", "\"\\n\": 1\n\"\\n\": 3\n", "f.yaml:2: duplicate key \"\\x0a\""},
    {"duplicate key, deep", "x:\n  - a: 1\n    a: 2\n", "f.yaml:3: duplicate key \"a\""},
    {"alias", "a: &x 1\nb: *x\n", "f.yaml:2: aliases are not supported"},
    {"tag", "a: 1\nb: !!js/function 'x'\n",
     "f.yaml:2: tag \"tag:yaml.org,2002:js/function\" is not supported"},
    {"own tag", "a: !thing {}\n", "f.yaml:1: tag \"!thing\" is not supported"},
    {"second document", "a: 1\n---\nb: 2\n", "f.yaml:2: a second document"},
    {"key of many", "? [a, b]\n: 1\n", "f.yaml:1: a key must be a plain or quoted word"},
    {"colon in a value", "a: b: c\n", "f.yaml:1: mapping values are not allowed in this context"},
    {"tab as indent", "a:\n\tb: 1\n",
     "f.yaml:2: found character that cannot start any token (while scanning for the next token)"},
    {"open quote", "a: 'x\n",
     "f.yaml:2: found unexpected end of stream (while scanning a quoted scalar)"},
    {"wrong indent", "a:\n    b: 1\n  c: 2\n",
     "f.yaml:3: did not find expected key (while parsing a block mapping)"},
    {"open bracket", "a: [1\n",
     "f.yaml:2: did not find expected ',' or ']' (while parsing a flow sequence)"},
    {"control byte", "a: 1\nb: \x01\n", "f.yaml:2: control characters are not allowed"},
    {"not UTF-8", "a: 1\n\nb: \xff\n", "f.yaml:3: invalid leading UTF-8 octet"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        struct err e = {0};
        struct yaml *root = yaml_parse(str_of(c->text), "f.yaml", &e);
        unit_true(c->name, root == NULL);
        unit_true(c->name, e.code == ERR_PROTOCOL);
        unit_equal(c->name, e.msg, c->want);
    }
}

static void repeat(struct buf *b, const char *text, int count)
{
    while (count-- > 0)
        buf_puts(b, text);
}

static void test_limits(void **state)
{
    struct buf text = {0};
    struct err e = {0};
    struct yaml *root;

    (void)state;
    repeat(&text, "[", 16);
    repeat(&text, "]", 16);
    root = yaml_parse(buf_str(&text), "f", &e);
    assert_non_null(root);
    yaml_free(root);
    buf_clear(&text);
    repeat(&text, "[", 17);
    repeat(&text, "]", 17);
    assert_null(yaml_parse(buf_str(&text), "f", &e));
    unit_equal("depth", e.msg, "f:1: nested too deep");
    buf_clear(&text);
    repeat(&text, "[", YAML_MAX_BYTES);
    assert_null(yaml_parse(buf_str(&text), "f", &e));
    buf_clear(&text);
    repeat(&text, "- 1\n", 10000);
    assert_null(yaml_parse(buf_str(&text), "f", &e));
    unit_equal("values", e.msg, "f:10000: more than 10000 values");
    buf_clear(&text);
    repeat(&text, "#", YAML_MAX_BYTES);
    root = yaml_parse(buf_str(&text), "f", &e);
    assert_non_null(root);
    yaml_free(root);
    repeat(&text, "#", 1);
    assert_null(yaml_parse(buf_str(&text), "f", &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    unit_equal("size", e.msg, "f: more than 65536 bytes");
    buf_free(&text);
}

static void test_reading(void **state)
{
    struct err e = {0};
    bool flag = false;
    struct yaml *root = yaml_parse(
        STR("# config\nname: x\nlist:\n  - a\n  -\n    k: v\n"
            "yes: True\nno: 'true'\nz: yes\n"),
        "f", &e);

    (void)state;
    assert_non_null(root);
    assert_int_equal(yaml_line(yaml_get(root, "name")), 2);
    assert_int_equal(yaml_line(yaml_get(root, "list")), 3);
    const struct yaml *item = yaml_next(yaml_first(yaml_get(root, "list")));
    unit_equal_str("k", yaml_text(yaml_get(item, "k")), STR("v"));
    assert_int_equal(yaml_line(yaml_get(item, "k")), 6);
    assert_true(yaml_bool(yaml_get(root, "yes"), &flag) && flag);
    assert_false(yaml_bool(yaml_get(root, "no"), &flag));
    assert_false(yaml_bool(yaml_get(root, "z"), &flag));
    assert_false(yaml_bool(yaml_get(root, "absent"), &flag));
    assert_false(yaml_bool(root, &flag));
    assert_null(yaml_get(root, "absent"));
    assert_null(yaml_get(yaml_get(root, "name"), "x"));
    assert_null(yaml_first(yaml_get(root, "name")));
    assert_int_equal(yaml_text(root).len, 0);
    yaml_free(root);
    yaml_free(NULL);
}

/* Every beginning of a config either parses or is refused with its name, and leaks nothing. */
static void test_truncated(void **state)
{
    const struct str text =
        STR("a: {b: [1, \"x\\u00e9\", 'y']}\nc: >-\n  folded\n  text\nd: &x !!str e\n");

    (void)state;
    for (size_t len = 0; len < text.len; len++) {
        struct err e = {0};
        char *exact = malloc(len + 1);
        memcpy(exact, text.p, len);
        struct yaml *root = yaml_parse((struct str){exact, len}, "name", &e);
        assert_true(root != NULL || strncmp(e.msg, "name:", 5) == 0);
        yaml_free(root);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_bad),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_reading),
        cmocka_unit_test(test_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
