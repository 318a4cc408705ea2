/* Small text files and lists, as Windows editors and people write them. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/oddity.h"
#include "base/text_file.h"
#include "base/text_lines.h"

#define BYTES(text) {text, sizeof(text) - 1}

static const struct {
    const char *name;
    struct str text;
    const char *want; /* the tidy text, or what follows "E" */
} texts[] = {
    {"plain", BYTES("a\nb"), "a\nb"},
    {"empty", BYTES(""), ""},
    {"mark", BYTES("\xef\xbb\xbf" "a\n"), "a\n"},
    {"a mark alone", BYTES("\xef\xbb\xbf"), ""},
    {"CRLF", BYTES("a\r\nb\r\n"), "a\nb\n"},
    {"CR at the end", BYTES("a\r"), "a"},
    {"CR inside", BYTES("a\rb\n"), "a\rb\n"},
    {"UTF-16", BYTES("\xff\xfe" "a\0"),
     "Eis UTF-16 text: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")"},
    {"UTF-16, the other way", BYTES("\xfe\xff\0a"),
     "Eis UTF-16 text: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")"},
    {"UTF-16 without a mark", BYTES("a\0b\0c\0"),
     "Eis UTF-16 text: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")"},
    {"UTF-32", BYTES("\xff\xfe\0\0a\0\0\0"),
     "Eis UTF-32 text: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")"},
    {"NUL", BYTES("one\ntwo\0"), "Eline 2 has a NUL byte: want plain text"},
};

static void test_tidy(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        struct buf text = {0};
        struct err e = {0};
        buf_puts(&text, "kept\r\n");
        buf_put(&text, texts[i].text);
        if (texts[i].want[0] == 'E') {
            unit_true(texts[i].name, text_file_tidy(&text, 6, &e) != 0);
            unit_equal(texts[i].name, e.msg, texts[i].want + 1);
        } else {
            unit_true(texts[i].name, text_file_tidy(&text, 6, &e) == 0);
            unit_equal(texts[i].name, buf_cstr(&text) + 6, texts[i].want);
        }
        buf_free(&text);
    }
}

static const struct {
    const char *name, *secret, *want; /* "": good */
} secrets[] = {
    {"plain", "s3cret", ""},
    {"quotes inside", "pass: 'word' #1", ""},
    {"one quote", "\"abc", ""},
    {"a quote alone", "'", ""},
    {"blank inside", "two words", ""},
    {"not ASCII", "gr\xc3\xbc\xc3\x9f", ""},
    {"double quotes", "\"abc\"", "is in quotes"},
    {"single quotes", "'abc'", "is in quotes"},
    {"typographic quotes", "\xe2\x80\x9c" "abc\xe2\x80\x9d", "is in quotes"},
    {"blank before", " abc", "starts with a blank"},
    {"blank behind", "abc ", "ends with a blank"},
    {"tab behind", "abc\t", "ends with a blank"},
    {"no-break space", "abc\xc2\xa0", "ends with a blank"},
    {"CR inside", "ab\rc", "has a carriage return"},
    {"CR at the end", "abc\r", "ends with a carriage return"},
    {"control", "a\x07" "b", "has a control character (\\x07)"},
    {"zero width", "a\xe2\x80\x8b" "b", "has an invisible character (U+200B)"},
    {"mark", "\xef\xbb\xbf" "ab", "has an invisible character (U+FEFF)"},
    {"not UTF-8", "a\xff", "is not UTF-8 text"},
    {"empty", "", "is empty"},
};

static void test_secrets(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(secrets); i++) {
        struct err e = {0};
        int result = text_file_check_secret(str_of(secrets[i].secret), &e);
        unit_true(secrets[i].name, (result == 0) == (secrets[i].want[0] == '\0'));
        if (result == 0)
            continue;
        unit_true(secrets[i].name, strstr(e.msg, secrets[i].want) != NULL);
        unit_true(secrets[i].name, strstr(e.msg, "abc") == NULL);
    }
}

static const struct {
    const char *name, *text, *odd, *stripped;
} oddities[] = {
    {"path", "/a/b c", NULL, "/a/b c"},
    {"tilde", "~/kc", "starts with \"~\", which only a shell expands", "~/kc"},
    {"in quotes", "\"/a b\"", "is in quotes", "/a b"},
    {"quotes and blanks", " ' /a ' \r", "ends with a carriage return", "/a"},
    {"newline inside a path", "/a\nb", NULL, "/a\nb"},
};

static void test_oddities(void **state)
{
    char odd[ODDITY_SIZE];

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(oddities); i++) {
        struct str text = str_of(oddities[i].text);
        bool is_odd = oddity_find(text, ODDITY_TILDE, odd);
        unit_equal(oddities[i].name, is_odd ? odd : "", oddities[i].odd ? oddities[i].odd : "");
        unit_equal_str(oddities[i].name, oddity_strip(text), str_of(oddities[i].stripped));
    }
}

static const struct {
    const char *name;
    struct str text;
    bool is_nul_separated;
    const char *want; /* entries, each with "|" behind; "!" and the cause of a bad one */
} lists[] = {
    {"lines", BYTES("a\nb\n"), false, "a|b|"},
    {"no last end", BYTES("a\n\nb"), false, "a|b|"},
    {"Windows", BYTES("\xef\xbb\xbf" "a\r\n\r\nb c\r\n"), false, "a|b c|"},
    {"a last CR", BYTES("a\r\nb\r"), false, "a|b|"},
    {"CR inside", BYTES("a\rb\r\n"), false, "a\rb|"},
    {"mark inside", BYTES("a\n\xef\xbb\xbf" "b"), false, "a|\xef\xbb\xbf" "b|"},
    {"NUL", BYTES("\xef\xbb\xbf" "a\r\n\0b\r\0"), true, "\xef\xbb\xbf" "a\r\n|b\r|"},
    {"NUL among lines", BYTES("ab\0c\nd\n"), false,
     "!a NUL byte in the list: want -0 if that separates the paths|d|"},
    {"UTF-16", BYTES("\xff\xfe" "a\0\n\0"), false,
     "!the list is UTF-16 text: save it as UTF-8 (Windows' Notepad calls UTF-16 \"Unicode\")|"},
    {"UTF-16 without a mark", BYTES("a\0b\0\n\0"), false,
     "!a NUL byte in the list: want -0 if that separates the paths, or UTF-8 if this is UTF-16|"
     "!a NUL byte in the list: want -0 if that separates the paths, or UTF-8 if this is UTF-16|"},
    {"overlong", BYTES("123456789\r\n12345678\r\n"), false,
     "!more than 8 bytes in one entry of the list|12345678|"},
    {"empty", BYTES(""), false, ""},
};

/* Through a pipe, cut in two at `cut`. */
static void read_list(size_t i, size_t cut, struct buf *out)
{
    struct text_lines l;
    struct str entry;
    struct err e = {0};
    int ends[2];
    char name[32];

    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(text_lines_open(&l, name, lists[i].is_nul_separated, 8, &e), 0);
    assert_int_equal(write(ends[1], lists[i].text.p, cut), (ssize_t)cut);
    bool is_whole = false;
    for (;;) {
        enum text_lines_step step = text_lines_next(&l, &entry, &e);
        if (step == TEXT_LINES_END)
            break;
        if (step == TEXT_LINES_WAIT && !is_whole) {
            assert_int_equal(write(ends[1], lists[i].text.p + cut, lists[i].text.len - cut),
                             (ssize_t)(lists[i].text.len - cut));
            close(ends[1]);
            is_whole = true;
        }
        if (step == TEXT_LINES_BAD)
            buf_printf(out, "!%s|", e.msg);
        if (step == TEXT_LINES_ENTRY) {
            buf_put(out, entry);
            buf_putc(out, '|');
        }
    }
    if (!is_whole)
        close(ends[1]);
    close(ends[0]);
    text_lines_close(&l);
}

static void test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(lists); i++)
        for (size_t cut = 0; cut <= lists[i].text.len; cut++) {
            struct buf got = {0};
            read_list(i, cut, &got);
            unit_equal(lists[i].name, buf_cstr(&got), lists[i].want);
            buf_free(&got);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_oddities),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
