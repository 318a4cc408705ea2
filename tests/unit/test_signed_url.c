/* URLs that carry a permission: what is signed cannot be changed, and it expires. */
#include "unit.h"

#include "bucket/signed_url.h"
#include "proto/url.h"

static const unsigned char key[SIGNED_URL_KEY] = "a key of thirty-two bytes, exact";
static const unsigned char other_key[SIGNED_URL_KEY] = "another key of thirty-two bytes.";

enum { NOW_MS = 1700000000 };

static struct signed_url make(bool is_put)
{
    return (struct signed_url){.is_put = is_put,
                               .object_key = STR("a b/sha1/ab/cd/ef/abcdef"),
                               .size = is_put ? 1234 : 0,
                               .client = is_put ? STR("0123abcd") : STR(""),
                               .expires_ms = (int64_t)NOW_MS * 1000};
}

/* The state of `text`, an absolute URL, for a request at `now_ms`. */
static enum signed_url_state check(struct str text, bool is_put, const unsigned char *with,
                                   int64_t now_ms, struct signed_url *out, struct buf *decoded)
{
    struct url url;
    struct err e = {0};

    assert_int_equal(url_parse(&url, text, &e), 0);
    buf_clear(decoded);
    return signed_url_check(out, url.path, url.query, is_put, with, now_ms, decoded);
}

static void test_round_trip(void **state)
{
    struct buf text = {0}, decoded = {0};
    struct signed_url found;

    (void)state;
    for (int is_put = 0; is_put <= 1; is_put++) {
        struct signed_url url = make(is_put);
        buf_clear(&text);
        signed_url_put(&text, STR("http://h:1"), key, &url);
        assert_true(str_starts_with(buf_str(&text),
                                    STR("http://h:1/bucket/a%20b/sha1/ab/cd/ef/abcdef?expires=")));
        assert_int_equal(check(buf_str(&text), is_put, key, url.expires_ms - 1, &found, &decoded),
                         SIGNED_URL_OK);
        unit_equal_str("key", found.object_key, url.object_key);
        unit_equal_str("client", found.client, url.client);
        assert_true(found.size == url.size && found.expires_ms == url.expires_ms);
        assert_int_equal(check(buf_str(&text), is_put, key, url.expires_ms, &found, &decoded),
                         SIGNED_URL_EXPIRED);
        assert_int_equal(check(buf_str(&text), !is_put, key, 0, &found, &decoded), SIGNED_URL_BAD);
        assert_int_equal(check(buf_str(&text), is_put, other_key, 0, &found, &decoded),
                         SIGNED_URL_BAD);
    }
    buf_free(&text);
    buf_free(&decoded);
}

/* Every byte of path and query counts. */
static void test_tampered(void **state)
{
    struct signed_url url = make(true), found;
    struct buf text = {0}, decoded = {0};
    size_t start = sizeof "http://h/bucket/" - 1;

    (void)state;
    signed_url_put(&text, STR("http://h"), key, &url);
    for (size_t i = start; i < text.len; i++) {
        char was = text.data[i];
        text.data[i] = was == '1' ? '2' : '1';
        if (check(buf_str(&text), true, key, 0, &found, &decoded) != SIGNED_URL_BAD)
            print_error("byte %zu of %.*s\n", i, STR_ARG(buf_str(&text)));
        assert_int_equal(check(buf_str(&text), true, key, 0, &found, &decoded), SIGNED_URL_BAD);
        text.data[i] = was;
    }
    assert_int_equal(check(buf_str(&text), true, key, 0, &found, &decoded), SIGNED_URL_OK);
    buf_free(&text);
    buf_free(&decoded);
}

static const struct bad_case {
    const char *name, *path, *query;
} bad_cases[] = {
    {"no query", "/bucket/a", ""},
    {"no signature", "/bucket/a", "expires=1"},
    {"empty signature", "/bucket/a", "expires=1&signature="},
    {"no expiry", "/bucket/a", "signature=00"},
    {"negative expiry", "/bucket/a", "expires=-1&signature=00"},
    {"huge expiry", "/bucket/a", "expires=99999999999999999999&signature=00"},
    {"bad escape", "/bucket/%zz", "expires=1&signature=00"},
    {"line feed in the key", "/bucket/a%0a", "expires=1&signature=00"},
    {"NUL in the key", "/bucket/a%00", "expires=1&signature=00"},
    {"other path", "/buckets/a", "expires=1&signature=00"},
};

static void test_bad(void **state)
{
    struct signed_url found;
    struct buf decoded = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad_cases); i++) {
        buf_clear(&decoded);
        unit_true(bad_cases[i].name,
                  signed_url_check(&found, str_of(bad_cases[i].path), str_of(bad_cases[i].query),
                                   false, key, 0, &decoded) == SIGNED_URL_BAD);
    }
    buf_free(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
