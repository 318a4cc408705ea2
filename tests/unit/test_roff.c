#include "help/roff.h"

#include "unit.h"

struct text_case {
    const char *name, *text, *want;
};

static const struct text_case texts[] = {
    {"nothing", "", ""},
    {"a paragraph", "One line.\nAnother.\n", "One line.\nAnother.\n"},
    {"without an end", "One line.", "One line.\n"},
    {"two", "One.\n\nTwo.\n", "One.\n.PP\nTwo.\n"},
    {"a heading", "A: HEADING\n\nText.\n", ".SS \"A: HEADING\"\nText.\n"},
    {"digits are no heading", "20,000\n", "20,000\n"},
    {"a row", "  term   what it is\n", ".TP\n.B \"term\"\nwhat it is\n"},
    {"a row that goes on", "  term   what it is\n         and does\nText.\n",
     ".TP\n.B \"term\"\nwhat it is\nand does\n.PP\nText.\n"},
    {"a row below its term", "  a long term\n        what it is\n",
     ".TP\n.B \"a long term\"\nwhat it is\n"},
    {"an option", "      --jobs N   how many\n", ".TP\n.B \"\\-\\-jobs N\"\nhow many\n"},
    {"code", "Type\n\n    $ a  b\n      c\n\n    $ d\n\nthen.\n",
     "Type\n.PP\n.nf\n$ a  b\n  c\n.fi\n.PP\n.nf\n$ d\n.fi\n.PP\nthen.\n"},
    {"code below a heading", "HEAD\n    $ a\n", ".SS \"HEAD\"\n.nf\n$ a\n.fi\n"},
    {"characters of roff", "a\\b -c ~ ^ ` ' \"\n", "a\\eb \\-c \\(ti \\(ha \\(ga \\(aq \\(dq\n"},
    {"a dot in front", ".TH x\n", "\\&.TH x\n"},
    {"an apostrophe in front", "'x\n", "\\(aqx\n"},
    {"a long line", "0123456789 0123456789 0123456789 0123456789 0123456789 01234 .67\n",
     "0123456789 0123456789 0123456789 0123456789 0123456789 01234\n\\&.67\n"},
    {"a long word", "0123456789012345678901234567890123456789012345678901234567890123456789\n",
     "0123456789012345678901234567890123456789012345678901234567890123456789\n"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out = {0};
        roff_put_text(&out, str_of(texts[i].text));
        unit_true(texts[i].name, str_equal(buf_str(&out), str_of(texts[i].want)));
        buf_free(&out);
    }
}

static void test_macro(void **state)
{
    struct buf out = {0};

    (void)state;
    roff_put_macro(&out, "B", STR("say \"-x\""));
    assert_string_equal(buf_cstr(&out), ".B \"say \\(dq\\-x\\(dq\"\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_macro)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
