/* Which part of a content a GET gets: conditions, dates and one range. */
#include "http/http_select.h"
#include "unit.h"

#define TAG     "\"tag\""
#define DATE    "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER   "Sun, 06 Nov 1994 08:49:38 GMT"

enum { DATE_S = 784111777, SIZE = 1000 };

struct selection {
    const char *name, *fields; /* of the request */
    int64_t size;
    int status;
    int64_t start, end;
    int undated; /* the status where the content has no date; 0: the same */
};

static const struct selection selections[] = {
    {"nothing is asked", "", SIZE, 200, 0, SIZE, 0},
    {"a range", "Range: bytes=10-19\r\n", SIZE, 206, 10, 20, 0},
    {"to the end", "Range: bytes=990-\r\n", SIZE, 206, 990, SIZE, 0},
    {"beyond the end", "Range: bytes=990-5000\r\n", SIZE, 206, 990, SIZE, 0},
    {"the last bytes", "Range: bytes=-5\r\n", SIZE, 206, 995, SIZE, 0},
    {"behind the end", "Range: bytes=1000-\r\n", SIZE, 416, -1, -1, 0},
    {"several", "Range: bytes=0-1,4-5\r\n", SIZE, 200, 0, SIZE, 0},
    {"another unit", "Range: lines=0-1\r\n", SIZE, 200, 0, SIZE, 0},
    {"of nothing", "Range: bytes=0-\r\n", 0, 416, -1, -1, 0},
    {"the last of nothing", "Range: bytes=-5\r\n", 0, 416, -1, -1, 0},
    {"its tag", "If-None-Match: " TAG "\r\n", SIZE, 304, -1, -1, 0},
    {"its tag, weak", "If-None-Match: \"x\", W/" TAG "\r\n", SIZE, 304, -1, -1, 0},
    {"another tag", "If-None-Match: \"x\"\r\n", SIZE, 200, 0, SIZE, 0},
    {"any tag", "If-None-Match: *\r\n", SIZE, 304, -1, -1, 0},
    {"its tag is wanted", "If-Match: \"x\", " TAG "\r\n", SIZE, 200, 0, SIZE, 0},
    {"a weak tag is wanted", "If-Match: W/" TAG "\r\n", SIZE, 412, -1, -1, 0},
    {"another tag is wanted", "If-Match: \"x\"\r\n", SIZE, 412, -1, -1, 0},
    {"since its date", "If-Modified-Since: " DATE "\r\n", SIZE, 304, -1, -1, 200},
    {"since an earlier date", "If-Modified-Since: " EARLIER "\r\n", SIZE, 200, 0, SIZE, 0},
    {"since no date", "If-Modified-Since: tomorrow\r\n", SIZE, 200, 0, SIZE, 0},
    {"unmodified since its date", "If-Unmodified-Since: " DATE "\r\n", SIZE, 200, 0, SIZE, 0},
    {"unmodified since earlier", "If-Unmodified-Since: " EARLIER "\r\n", SIZE, 412, -1, -1, 200},
    {"a tag counts more than a date", "If-None-Match: \"x\"\r\nIf-Modified-Since: " LATER "\r\n",
     SIZE, 200, 0, SIZE, 0},
    {"also where it is wanted", "If-Match: " TAG "\r\nIf-Unmodified-Since: " EARLIER "\r\n", SIZE,
     200, 0, SIZE, 0},
    {"a condition counts more than a range", "Range: bytes=2000-\r\nIf-None-Match: " TAG "\r\n",
     SIZE, 304, -1, -1, 0},
    {"a range of its tag", "Range: bytes=0-9\r\nIf-Range: " TAG "\r\n", SIZE, 206, 0, 10, 0},
    {"a range of another", "Range: bytes=0-9\r\nIf-Range: \"x\"\r\n", SIZE, 200, 0, SIZE, 0},
    {"a range of its date", "Range: bytes=0-9\r\nIf-Range: " DATE "\r\n", SIZE, 206, 0, 10, 200},
    {"a range of a later date", "Range: bytes=0-9\r\nIf-Range: " LATER "\r\n", SIZE, 200, 0, SIZE,
     0},
};

static void parse_request(struct http_wish *wish, const struct selection *c)
{
    struct http_head_parser parser = {0};
    struct buf text = {0};
    struct http_head head;
    struct err e = {0};
    int status;

    buf_printf(&text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", c->fields);
    unit_true(c->name, http_head_parse(&parser, HTTP_REQUEST, buf_str(&text), STR(""), &head,
                                       &status, &e) == IO_DONE);
    unit_true(c->name, http_wish_init(wish, &head));
    buf_free(&text);
}

static void test_conditions_and_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof selections / sizeof selections[0]; i++) {
        const struct selection *c = &selections[i];
        struct http_content content = {
            .etag = TAG, .modified_ms = (int64_t)DATE_S * 1000, .size = c->size};
        int64_t start = 0, end = 0;
        struct http_wish wish;
        parse_request(&wish, c);
        unit_true(c->name, http_select(&wish, &content, &start, &end) == c->status);
        if (c->start >= 0) {
            unit_true(c->name, start == c->start && end == c->end);
        }
        content.modified_ms = -1;
        unit_true(c->name, http_select(&wish, &content, &start, &end) ==
                               (c->undated == 0 ? c->status : c->undated));
        http_wish_deinit(&wish);
    }
}

static void test_content_range(void **state)
{
    char text[HTTP_CONTENT_RANGE_BYTES];

    (void)state;
    http_select_format_range(206, 2, 4, 10, text);
    assert_string_equal(text, "bytes 2-3/10");
    http_select_format_range(416, 0, 0, 10, text);
    assert_string_equal(text, "bytes */10");
    http_select_format_range(200, 0, 10, 10, text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions_and_ranges),
        cmocka_unit_test(test_content_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
