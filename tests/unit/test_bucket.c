#include "zone/bucket.h"

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

        bucket_put_reason(&out, str_of(pages[i].page));
        unit_equal(pages[i].name, buf_cstr(&out), pages[i].reason);
        buf_free(&out);
    }
}

static void test_long_reason(void **state)
{
    struct buf page = {0}, out = {0};

    (void)state;
    buf_puts(&page, "<Code>");
    for (int i = 0; i < 1000; i++)
        buf_puts(&page, "\xc3\xa4");
    buf_puts(&page, "</Code>");
    bucket_put_reason(&out, buf_str(&page));
    assert_int_equal(out.len, BUCKET_MAX_REASON_BYTES);
    assert_true(str_is_utf8(buf_str(&out)));
    buf_free(&page);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_long_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
