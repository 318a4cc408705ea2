/* HTTP heads out: what is put is what is parsed, and nothing can be put beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/http_head.h"

static enum io parse(enum http_kind kind, struct str text)
{
    struct http_head_parser parser = {0};
    struct http_head head;
    struct err e = {0};
    int status;

    return http_head_parse(&parser, kind, text, STR("GET"), &head, &status, &e);
}

static void test_put(void **state)
{
    struct buf out = {0};

    (void)state;
    http_head_put_request(&out, STR("PUT"), STR("/a"));
    http_head_put_header(&out, "Host", STR("h"));
    http_head_put_length(&out, UINT64_C(9223372036854775807));
    http_head_put_end(&out);
    assert_string_equal(
        buf_cstr(&out),
        "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n");
    assert_int_equal(parse(HTTP_REQUEST, buf_str(&out)), IO_DONE);
    buf_clear(&out);
    http_head_put_status(&out, 404);
    http_head_put_length(&out, 0);
    http_head_put_end(&out);
    assert_string_equal(buf_cstr(&out), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(parse(HTTP_RESPONSE, buf_str(&out)), IO_DONE);
    buf_clear(&out);
    http_head_put_status(&out, 299);
    http_head_put_status(&out, 100);
    http_head_put_length(&out, 19);
    assert_string_equal(buf_cstr(&out),
                        "HTTP/1.1 299 \r\nHTTP/1.1 100 Continue\r\nContent-Length: 19\r\n");
    buf_free(&out);
}

static void test_put_refuses_injection(void **state)
{
    static const struct str bad[] = {
        {"\nb", 2}, {"a\rb", 3}, {"a\nb", 3}, {"a\0b", 3}, {"a\r\nX: y", 7}};
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&out);
        http_head_put_header(&out, "X", bad[i]);
        assert_true(out.failed);
        buf_clear(&out);
        http_head_put_request(&out, STR("GET"), bad[i]);
        assert_true(out.failed);
        buf_clear(&out);
        http_head_put_request(&out, bad[i], STR("/"));
        assert_true(out.failed);
    }
    buf_clear(&out);
    http_head_put_request(&out, STR("GET"), STR("/a b"));
    assert_true(out.failed);
    buf_clear(&out);
    http_head_put_request(&out, STR("GET"), STR(""));
    assert_true(out.failed);
    buf_free(&out);
}

/* The reasons as RFC 9110 §15 has them. */
static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(http_head_reason(100), "Continue");
    assert_string_equal(http_head_reason(304), "Not Modified");
    assert_string_equal(http_head_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http_head_reason(507), "Insufficient Storage");
    assert_string_equal(http_head_reason(99), "");
    assert_string_equal(http_head_reason(407), "Proxy Authentication Required");
    assert_string_equal(http_head_reason(600), "Server Error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_put_refuses_injection),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
