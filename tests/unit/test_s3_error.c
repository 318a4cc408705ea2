#include "proto/s3_error.h"

#include "unit.h"

static const struct {
    const char *name, *page, *reason;
} pages[] = {
    {"S3", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>"
           "<Message>Request has expired</Message><X-Amz-Expires>1800</X-Amz-Expires></Error>",
     "AccessDenied: Request has expired"},
    {"code only", "<Error><Code>SlowDown</Code></Error>", "SlowDown"},
    {"message only", "<Error><Message>no</Message></Error>", "no"},
    {"entities", "<Error><Code>A</Code><Message>&lt;a&gt; &amp;amp; &quot;b&quot; &apos;</Message>",
     "A: <a> &amp; \"b\" '"},
    {"unknown entity", "<Code>&nbsp;&</Code>", "&nbsp;&"},
    {"control bytes", "<Code>a\x1b\nb</Code>", "a\\x1b\\x0ab"},
    {"cut", "<Error><Code>AccessDenied</Cod", ""},
    {"closed before opened", "</Code><Code>", ""},
    {"page", "<html><body>403 Forbidden</body></html>", ""},
    {"text", "Signature expired\nmore", "Signature expired"},
    {"empty", "", ""},
    {"not UTF-8", "<Code>\xff</Code>", ""},
};

static void test_reasons(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(pages); i++) {
        struct buf out = {0};

        s3_error_put_reason(&out, str_of(pages[i].page));
        unit_equal(pages[i].name, buf_cstr(&out), pages[i].reason);
        buf_free(&out);
    }
}

static void test_no_page(void **state)
{
    struct buf out = {0};

    (void)state;
    s3_error_put_reason(&out, (struct str){NULL, 0});
    assert_int_equal(out.len, 0);
    assert_int_equal(s3_error_kind(400, (struct str){NULL, 0}), ERR_REFUSED);
    buf_free(&out);
}

static void test_long_reason(void **state)
{
    struct buf page = {0}, out = {0};

    (void)state;
    buf_puts(&page, "<Code>");
    for (int i = 0; i < 1000; i++)
        buf_puts(&page, "\xc3\xa4");
    buf_puts(&page, "</Code>");
    s3_error_put_reason(&out, buf_str(&page));
    assert_int_equal(out.len, S3_ERROR_MAX_REASON_BYTES);
    assert_true(str_is_utf8(buf_str(&out)));
    buf_free(&page);
    buf_free(&out);
}

static void test_kinds(void **state)
{
    static const struct {
        const char *name;
        int status;
        const char *page;
        enum err_code want;
    } cases[] = {
        {"gone", 404, "<Code>NoSuchKey</Code>", ERR_NOT_FOUND},
        {"too slow", 400, "<Error><Code>RequestTimeout</Code></Error>", ERR_NETWORK},
        {"too slow, they say elsewhere", 400, "<Message>RequestTimeout</Message>", ERR_REFUSED},
        {"clock", 403, "<Code>RequestTimeTooSkewed</Code>", ERR_REFUSED},
        {"bad", 400, "", ERR_REFUSED},
        {"timeout", 408, "", ERR_NETWORK},
        {"slow down", 429, "", ERR_NETWORK},
        {"error", 500, "", ERR_NETWORK},
        {"busy", 503, "<Code>SlowDown</Code>", ERR_NETWORK},
        {"expired", 403, "<Code>AccessDenied</Code>", ERR_REFUSED},
        {"redirection", 301, "", ERR_REFUSED},
        {"full disk", 507, "", ERR_REFUSED},
        {"created", 201, "", ERR_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        unit_true(cases[i].name,
                  s3_error_kind(cases[i].status, str_of(cases[i].page)) == cases[i].want);
}

/* What is written is read back; what looks like markup stays text. */
static void test_written(void **state)
{
    struct buf page = {0}, out = {0};

    (void)state;
    s3_error_put(&page, "InternalError", STR("<a> & \"b\" 'c'"));
    assert_true(s3_error_has_code(buf_str(&page)));
    s3_error_put_reason(&out, buf_str(&page));
    unit_equal("written", buf_cstr(&out), "InternalError: <a> & \"b\" 'c'");
    assert_false(s3_error_has_code(STR("<html>403</html>")));
    buf_free(&page);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_no_page),
        cmocka_unit_test(test_long_reason),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
