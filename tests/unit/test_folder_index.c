/* Folder indexes: texts that are none, those of other programs, and what is found in one. */
#include <stdlib.h>

#include "proto/folder_index.h"
#include "unit.h"

#define HASH "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define FILE_OF(size) "{\"sha1\":\"" HASH "\",\"size\":" size "}"
#define INDEX(files) "{\"kachery-folder\":1,\"files\":{" files "}}"

static const struct {
    const char *name, *text;
    int count; /* -1: refused */
} cases[] = {
    {"empty", INDEX(""), 0},
    {"one", INDEX("\"a\":" FILE_OF("0")), 1},
    {"hidden files", INDEX("\".zattrs\":" FILE_OF("2") ",\"x/.zarray\":" FILE_OF("9")), 2},
    {"not sorted", INDEX("\"b\":" FILE_OF("1") ",\"a\":" FILE_OF("2")), 2},
    {"files first, blanks",
     " {\n\"files\" : { \"a\" :\t{ \"size\" : 3 , \"sha1\" : \"" HASH "\" } } ,\r\n"
     "\"kachery-folder\" : 1 } \n", 1},
    {"escapes", INDEX("\"\\u00e4\\ud83d\\ude00\\/\\\"\\\\\":" FILE_OF("1")), 1},
    {"a part that begins with dots", INDEX("\"..a/...\":" FILE_OF("1")), 1},
    {"largest size", INDEX("\"a\":" FILE_OF("9007199254740991")), 1},
    {"nothing", "", -1},
    {"cut", "{\"kachery-folder\":1,\"files\":{", -1},
    {"bytes behind it", INDEX("") "x", -1},
    {"another value behind it", INDEX("") "{}", -1},
    {"another version", "{\"kachery-folder\":2,\"files\":{}}", -1},
    {"no version", "{\"files\":{}}", -1},
    {"no files", "{\"kachery-folder\":1}", -1},
    {"files twice", "{\"kachery-folder\":1,\"files\":{},\"files\":{}}", -1},
    {"another key", "{\"kachery-folder\":1,\"files\":{},\"x\":1}", -1},
    {"a comma too many", INDEX("\"a\":" FILE_OF("1") ","), -1},
    {"a comma at the end", "{\"kachery-folder\":1,\"files\":{},}", -1},
    {"empty path", INDEX("\"\":" FILE_OF("1")), -1},
    {"absolute", INDEX("\"/a\":" FILE_OF("1")), -1},
    {"a folder", INDEX("\"a/\":" FILE_OF("1")), -1},
    {"empty part", INDEX("\"a//b\":" FILE_OF("1")), -1},
    {"up", INDEX("\"../a\":" FILE_OF("1")), -1},
    {"up inside", INDEX("\"a/../b\":" FILE_OF("1")), -1},
    {"up at the end", INDEX("\"a/..\":" FILE_OF("1")), -1},
    {"up in escapes", INDEX("\"\\u002e\\u002e/a\":" FILE_OF("1")), -1},
    {"dot", INDEX("\"a/./b\":" FILE_OF("1")), -1},
    {"NUL", INDEX("\"a\\u0000\":" FILE_OF("1")), -1},
    {"not UTF-8", INDEX("\"\xff\":" FILE_OF("1")), -1},
    {"half a pair", INDEX("\"\\ud83d\":" FILE_OF("1")), -1},
    {"the other half", INDEX("\"\\ude00\":" FILE_OF("1")), -1},
    {"half a pair and an escape", INDEX("\"\\ud83d\\n\":" FILE_OF("1")), -1},
    {"a control byte", INDEX("\"a\nb\":" FILE_OF("1")), -1},
    {"unknown escape", INDEX("\"\\x41\":" FILE_OF("1")), -1},
    {"twice", INDEX("\"a\":" FILE_OF("1") ",\"b\":" FILE_OF("1") ",\"a\":" FILE_OF("1")), -1},
    {"twice by an escape", INDEX("\"a\":" FILE_OF("1") ",\"\\u0061\":" FILE_OF("1")), -1},
    {"file and folder",
     INDEX("\"a\":" FILE_OF("1") ",\"a-b\":" FILE_OF("1") ",\"a/b\":" FILE_OF("1")), -1},
    {"upper-case hash",
     INDEX("\"a\":{\"sha1\":\"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\",\"size\":1}"), -1},
    {"short hash", INDEX("\"a\":{\"sha1\":\"da39\",\"size\":1}"), -1},
    {"no size", INDEX("\"a\":{\"sha1\":\"" HASH "\"}"), -1},
    {"no hash", INDEX("\"a\":{\"size\":1}"), -1},
    {"size twice", INDEX("\"a\":{\"sha1\":\"" HASH "\",\"size\":1,\"size\":1}"), -1},
    {"negative size", INDEX("\"a\":" FILE_OF("-1")), -1},
    {"a fraction", INDEX("\"a\":" FILE_OF("1.5")), -1},
    {"leading zero", INDEX("\"a\":" FILE_OF("01")), -1},
    {"a size too large", INDEX("\"a\":" FILE_OF("9007199254740992")), -1},
    {"a size as text", INDEX("\"a\":" FILE_OF("\"1\"")), -1},
    {"a list", "[]", -1},
};

static int parse_in_pieces(struct str text, size_t first, size_t then, struct folder_index *out)
{
    struct folder_parser p = {0};
    struct err e = {0};
    int result = folder_parser_feed(&p, str_slice(text, 0, first), &e);

    for (size_t at = first; result == 0 && at < text.len; at += then)
        result = folder_parser_feed(&p, str_slice(text, at, at + then), &e);
    if (result == 0)
        result = folder_parser_end(&p, out, &e);
    folder_parser_free(&p);
    assert_true(result == 0 || e.code == ERR_PROTOCOL);
    return result;
}

static void texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct str text = str_of(cases[i].text);
        for (size_t cut = 0; cut <= text.len + 1; cut++) { /* the last: byte by byte */
            struct folder_index index = {0};
            int result = parse_in_pieces(text, cut > text.len ? 0 : cut,
                                         cut > text.len ? 1 : text.len + 1, &index);
            if ((result == 0 ? (int)index.count : -1) != cases[i].count)
                fail_msg("%s: %d instead of %d", cases[i].name,
                         result == 0 ? (int)index.count : -1, cases[i].count);
            folder_index_free(&index);
        }
    }
}

static void add(struct folder_index *index, const char *path)
{
    struct err e = {0};

    if (folder_index_add(index, str_of(path), HASH, (int64_t)strlen(path), &e) != 0)
        fail_msg("%s: %s", path, e.msg);
}

static void what_is_written_is_read(void **state)
{
    static const char text[] = INDEX("\"a\":" FILE_OF("1") ",\"b-c\":" FILE_OF("3")
        ",\"b/c\":" FILE_OF("3") ",\"b0\":" FILE_OF("2") ",\"x\\\"\\u0001\xc3\xa4\":" FILE_OF("5"));
    static const char *const paths[] = {"x\"\x01\xc3\xa4", "b0", "b/c", "a", "b-c"};
    struct folder_index index = {0}, again = {0};
    struct buf out = {0};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(paths); i++)
        add(&index, paths[i]);
    assert_int_equal(folder_index_put(&index, &out, &e), 0);
    assert_string_equal(buf_cstr(&out), text);
    assert_int_equal(folder_index_parse(&again, buf_str(&out), &e), 0);
    for (size_t i = 0; i < UNIT_COUNT(paths); i++) {
        const struct folder_file *file = folder_index_find(&again, str_of(paths[i]));
        assert_non_null(file);
        assert_true(file->size == (int64_t)strlen(paths[i]));
        assert_non_null(folder_index_find(&index, str_of(paths[i])));
    }
    assert_null(folder_index_find(&again, STR("b")));
    assert_null(folder_index_find(&again, STR("b/")));
    assert_null(folder_index_find(&again, STR("")));
    assert_null(folder_index_find(&again, STR("b\0c")));
    folder_index_free(&index);
    folder_index_free(&again);
    buf_free(&out);
}

static void paths_that_may_not_be(void **state)
{
    static const char *const paths[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "\xff"};
    struct folder_index index = {0};
    struct buf out = {0}, deep = {0};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(paths); i++)
        assert_int_equal(folder_index_add(&index, str_of(paths[i]), HASH, 0, &e), -1);
    for (size_t i = 0; i <= FOLDER_INDEX_MAX_PATH; i++)
        buf_putc(&deep, 'a');
    assert_int_equal(folder_index_add(&index, buf_str(&deep), HASH, 0, &e), -1);
    add(&index, "a");
    add(&index, "a.b");
    add(&index, "a/b");
    assert_int_equal(folder_index_put(&index, &out, &e), -1);
    assert_string_equal(e.msg, "\"a\" is a file and a folder");
    folder_index_free(&index);
    buf_free(&deep);
    buf_free(&out);
}

static void list(const struct folder_index *index, const char *folder, const char *wanted)
{
    struct buf out = {0};
    struct str name;
    const struct folder_file *file;
    size_t at, end;

    if (!folder_index_range(index, str_of(folder), &at, &end)) {
        assert_null(wanted);
        return;
    }
    while (folder_index_next(index, str_of(folder), &at, end, &name, &file))
        buf_printf(&out, "%.*s%s ", STR_ARG(name), file == NULL ? "/" : "");
    if (wanted == NULL || strcmp(buf_cstr(&out), wanted) != 0)
        fail_msg("\"%s\": %s", folder, buf_cstr(&out));
    buf_free(&out);
}

static void folders(void **state)
{
    static const char *const paths[] = {"b/d/e", "b/c", "b/d/f", "b-x", "b0/1", "a", ".z"};
    struct folder_index index = {0}, none = {0};
    struct buf out = {0};
    struct err e;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(paths); i++)
        add(&index, paths[i]);
    assert_int_equal(folder_index_put(&index, &out, &e), 0);
    list(&index, "", ".z a b/ b-x b0/ ");
    list(&index, "b/", "c d/ ");
    list(&index, "b/d/", "e f ");
    list(&index, "b0/", "1 ");
    list(&index, "b", NULL);
    list(&index, "a/", NULL);
    list(&index, "/", NULL);
    list(&index, "b/d/e/", NULL);
    list(&index, "c/", NULL);
    list(&none, "", "");
    folder_index_free(&index);
    buf_free(&out);
}

static void too_large(void **state)
{
    struct folder_index index = {0};
    struct buf out = {0};
    struct err e = {0};
    char path[FOLDER_INDEX_MAX_PATH + 1];

    (void)state;
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    for (int i = 0; i < 8200; i++) {
        char number[12];
        snprintf(number, sizeof number, "%08d", i);
        memcpy(path, number, 8);
        add(&index, path);
    }
    assert_int_equal(folder_index_put(&index, &out, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    folder_index_free(&index);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),   cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(folders), cmocka_unit_test(paths_that_may_not_be),
        cmocka_unit_test(too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
