/* Growing buffers, and what they do when memory runs out. */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"

static void test_building(void **state)
{
    struct buf b = {0};

    (void)state;
    unit_equal("nothing", buf_cstr(&b), "");
    assert_int_equal(b.len, 0);
    buf_puts(&b, "a");
    buf_putc(&b, 'b');
    buf_put(&b, STR("cd"));
    buf_append(&b, "ef", 1);
    buf_printf(&b, "%d-%s", 5, "x");
    unit_equal("all", buf_cstr(&b), "abcde5-x");
    assert_int_equal(buf_str(&b).len, 8);
    buf_consume(&b, 0);
    buf_consume(&b, 5);
    unit_equal("rest", buf_cstr(&b), "5-x");
    buf_consume(&b, 99);
    unit_equal("none left", buf_cstr(&b), "");
    buf_put(&b, str_of(NULL));
    assert_int_equal(b.len, 0);
    buf_free(&b);
    buf_free(&b);
    buf_free(NULL);
    buf_wipe(NULL);
}

/* Pieces of every length are copied whole, and nothing beyond them. */
static void test_lengths(void **state)
{
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        struct buf b = {0};
        buf_puts(&b, "<");
        buf_append(&b, text, len);
        buf_puts(&b, ">");
        assert_int_equal(b.len, len + 2);
        assert_memory_equal(b.data + 1, text, len);
        assert_int_equal(b.data[len + 1], '>');
        buf_free(&b);
    }
}

/* Past every growth, by single bytes and by pieces. */
static void test_growth(void **state)
{
    enum { TOTAL = 100000 };
    struct buf b = {0}, pieces = {0};

    (void)state;
    for (int i = 0; i < TOTAL; i++)
        buf_putc(&b, (char)('a' + i % 26));
    for (size_t at = 0, n = 1; at < TOTAL; at += n, n = n * 3 % 1009 + 1)
        buf_put(&pieces, str_slice(buf_str(&b), at, at + n));
    assert_int_equal(b.len, TOTAL);
    unit_equal_str("pieces", buf_str(&pieces), buf_str(&b));
    buf_clear(&pieces);
    for (int i = 0; i < 5000; i++)
        buf_printf(&pieces, "%0100d", i);
    assert_int_equal(pieces.len, 500000);
    unit_equal_str("last", str_slice(buf_str(&pieces), 499994, 500000), STR("004999"));
    buf_free(&pieces);
    buf_wipe(&b);
    assert_null(b.data);
}

static void test_take(void **state)
{
    struct buf b = {0};

    (void)state;
    char *text = buf_take(&b);
    unit_equal("empty", text, "");
    free(text);
    buf_puts(&b, "kept");
    text = buf_take(&b);
    unit_equal("text", text, "kept");
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    free(text);
}

/* A size that cannot be: the buffer fails, keeps what it has, and says so once at the end. */
static void test_failure(void **state)
{
    struct buf b = {0};
    struct err e = {0};

    (void)state;
    buf_puts(&b, "abc");
    assert_int_equal(buf_check(&b, &e), 0);
    assert_false(buf_reserve(&b, SIZE_MAX - 1));
    assert_false(buf_reserve(&b, 1));
    buf_puts(&b, "def");
    buf_putc(&b, 'x');
    buf_printf(&b, "%d", 5);
    unit_equal_str("as before", buf_str(&b), STR("abc"));
    unit_equal("no C string", buf_cstr(&b), "");
    assert_int_equal(buf_check(&b, &e), -1);
    unit_equal("said", e.msg, "out of memory");
    buf_clear(&b);
    buf_puts(&b, "again");
    unit_equal("usable after clear", buf_cstr(&b), "again");
    b.failed = true;
    assert_null(buf_take(&b));
    assert_null(b.data);
}

/* What is not the whole path is none, and neither is nothing. */
static void test_path(void **state)
{
    struct buf b = {0};
    struct err e = {0};

    (void)state;
    assert_null(buf_path(&b, &e));
    unit_equal("empty", e.msg, "empty path");
    buf_puts(&b, "/a/b");
    unit_equal("whole", buf_path(&b, &e), "/a/b");
    assert_int_equal(b.len, 4);
    assert_false(buf_reserve(&b, SIZE_MAX - 1));
    assert_null(buf_path(&b, &e));
    unit_equal("failed", e.msg, "out of memory");
    assert_null(buf_path(&b, ERR_IGNORED));
    buf_free(&b);
}

/* A value that is not whole makes what it is put into not whole. */
static void test_put_buf(void **state)
{
    struct buf b = {0}, value = {0};

    (void)state;
    buf_puts(&value, "cd");
    buf_puts(&b, "ab");
    buf_put_buf(&b, &value);
    unit_equal("both", buf_cstr(&b), "abcd");
    value.failed = true;
    buf_put_buf(&b, &value);
    assert_true(b.failed);
    buf_free(&b);
    buf_free(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_building),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_put_buf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
