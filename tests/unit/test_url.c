/* URLs: what is accepted, how it is taken apart and put together, what errors show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proto/url.h"

static const struct good_case {
    const char *name, *text, *host, *userinfo, *path, *query, *target;
    unsigned port;
    bool is_tls, is_websocket, is_ipv6, has_query;
    const char *put_host, *put_target, *redacted, *as_http;
} good_cases[] = {
    {"plain", "http://h", "h", "", "", "", "", 80, false, false, false, false, "h", "/", "http://h",
     "http://h"},
    {"path", "https://a.example/r/n", "a.example", "", "/r/n", "", "/r/n", 443, true, false, false,
     false, "a.example", "/r/n", "https://a.example/r/n", "https://a.example/r/n"},
    {"port and query", "http://h:8080/p?a=b&sig=x", "h", "", "/p", "a=b&sig=x", "/p?a=b&sig=x",
     8080, false, false, false, true, "h:8080", "/p?a=b&sig=x", "http://h:8080/p?\xe2\x80\xa6",
     "http://h:8080/p?a=b&sig=x"},
    {"query without path", "ws://h?q", "h", "", "", "q", "?q", 80, false, true, false, true, "h",
     "/?q", "ws://h?\xe2\x80\xa6", "http://h?q"},
    {"empty query", "http://h/?", "h", "", "/", "", "/?", 80, false, false, false, true, "h", "/?",
     "http://h/?\xe2\x80\xa6", "http://h/?"},
    {"fragment is dropped", "http://h/p#f?x", "h", "", "/p", "", "/p", 80, false, false, false,
     false, "h", "/p", "http://h/p", "http://h/p"},
    {"default port given", "https://h:443/", "h", "", "/", "", "/", 443, true, false, false, false,
     "h", "/", "https://h/", "https://h:443/"},
    {"http on 443", "http://h:443/", "h", "", "/", "", "/", 443, false, false, false, false,
     "h:443", "/", "http://h:443/", "http://h:443/"},
    {"IPv6", "wss://[::1]:9/x", "::1", "", "/x", "", "/x", 9, true, true, true, false, "[::1]:9",
     "/x", "wss://[::1]:9/x", "https://[::1]:9/x"},
    {"IPv6 without port", "http://[2001:db8::1.2.3.4]", "2001:db8::1.2.3.4", "", "", "", "", 80,
     false, false, true, false, "[2001:db8::1.2.3.4]", "/", "http://[2001:db8::1.2.3.4]",
     "http://[2001:db8::1.2.3.4]"},
    {"upper-case scheme", "HTTP://H/", "H", "", "/", "", "/", 80, false, false, false, false, "H",
     "/", "HTTP://H/", "http://H/"},
    {"user", "http://u:p%40@h/", "h", "u:p%40", "/", "", "/", 80, false, false, false, false, "h",
     "/", "http://h/", "http://u:p%40@h/"},
    {"at and colon in the path", "http://h/a@b:c", "h", "", "/a@b:c", "", "/a@b:c", 80, false,
     false, false, false, "h", "/a@b:c", "http://h/a@b:c", "http://h/a@b:c"},
    {"highest port", "http://h:65535", "h", "", "", "", "", 65535, false, false, false, false,
     "h:65535", "/", "http://h:65535", "http://h:65535"},
};

static void expect(const char *name, const char *what, struct str got, const char *want)
{
    if (!str_equal(got, str_of(want)))
        fail_msg("%s: %s is \"%.*s\", want \"%s\"", name, what, STR_ARG(got), want);
}

static void expect_put(const char *name, const char *what, const struct url *u,
                       void (*put)(struct buf *, const struct url *), const char *want)
{
    struct buf out = {0};

    put(&out, u);
    expect(name, what, buf_str(&out), want);
    buf_free(&out);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_cases / sizeof *good_cases; i++) {
        const struct good_case *c = &good_cases[i];
        struct err e = {0};
        struct url u;
        if (url_parse(&u, str_of(c->text), &e) != 0)
            fail_msg("%s: refused: %s", c->name, e.msg);
        expect(c->name, "host", u.host, c->host);
        expect(c->name, "userinfo", u.userinfo, c->userinfo);
        expect(c->name, "path", u.path, c->path);
        expect(c->name, "query", u.query, c->query);
        expect(c->name, "target", u.target, c->target);
        if (u.port != c->port || url_is_tls(&u) != c->is_tls || u.is_ipv6 != c->is_ipv6 ||
            url_is_websocket(&u) != c->is_websocket || u.has_query != c->has_query)
            fail_msg("%s: port %u, is_tls %d, is_websocket %d, is_ipv6 %d, has_query %d", c->name,
                     u.port, url_is_tls(&u), url_is_websocket(&u), u.is_ipv6, u.has_query);
        expect_put(c->name, "Host", &u, url_put_host, c->put_host);
        expect_put(c->name, "request target", &u, url_put_target, c->put_target);
        expect_put(c->name, "redacted", &u, url_put_redacted, c->redacted);
        expect_put(c->name, "as HTTP", &u, url_put_http, c->as_http);
    }
}

static const struct bad_case {
    const char *name, *text;
} bad_cases[] = {
    {"empty", ""},
    {"no scheme", "h/p"},
    {"host and port only", "localhost:8080"},
    {"one slash", "http:/h"},
    {"other scheme", "ftp://h/"},
    {"scheme with a prefix", "xhttp://h/"},
    {"no host", "http://"},
    {"no host but a path", "http:///p"},
    {"no host but a port", "http://:80/"},
    {"no host but a user", "http://u@/"},
    {"port 0", "http://h:0/"},
    {"port too high", "http://h:65536/"},
    {"port overflows", "http://h:18446744073709551696/"},
    {"port not a number", "http://h:8o/"},
    {"port with sign", "http://h:+80/"},
    {"empty port", "http://h:/"},
    {"two ports", "http://h:1:2/"},
    {"space", "http://h/a b"},
    {"leading space", " http://h/"},
    {"tab", "http://h/\t"},
    {"CR LF", "http://h/\r\nX: y"},
    {"DEL", "http://h/\x7f"},
    {"not ASCII", "http://h/\xc3\xa4"},
    {"name in brackets", "http://[h]/"},
    {"bracket not closed", "http://[::1"},
    {"text after bracket", "http://[::1]x/"},
    {"bad IPv6", "http://[1::2::3]/"},
    {"IPv4 in brackets", "http://[127.0.0.1]/"},
    {"IPv6 without brackets", "http://::1/"},
    {"host with percent", "http://a%41/"},
    {"host begins with comma", "http://,b/"},
    {"user begins with quote", "http://\"u@h/"},
    {"control byte first", "\x01http://h/"},
    {"host with comma", "http://a,b/"},
    {"backslash before user", "http://good\\@evil/"},
    {"two users", "http://a@b@c/"},
    {"bracket in user", "http://[x]@h/"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const struct bad_case *c = &bad_cases[i];
        struct url u, before;
        struct err e = {0};
        memset(&u, 0x5a, sizeof u);
        memcpy(&before, &u, sizeof u);
        if (url_parse(&u, str_of(c->text), &e) != -1 || e.code != ERR_USAGE)
            fail_msg("%s: accepted", c->name);
        if (memcmp(&u, &before, sizeof u) != 0)
            fail_msg("%s: changed the result", c->name);
        if (strstr(e.msg, "http://HOST") == NULL)
            fail_msg("%s: does not say what is accepted: %s", c->name, e.msg);
        if (strpbrk(e.msg, "\r\n\t\x7f") != NULL)
            fail_msg("%s: control bytes in the error", c->name);
    }
}

static void test_nul_and_length(void **state)
{
    char text[URL_MAX_BYTES + 1];
    struct err e = {0};
    struct url u;

    (void)state;
    assert_int_equal(url_parse(&u, STR("http://h/\0x"), &e), -1);
    memset(text, 'a', sizeof text);
    memcpy(text, "http://h/", 9);
    assert_int_equal(url_parse(&u, (struct str){text, URL_MAX_BYTES}, &e), 0);
    assert_int_equal(u.path.len, URL_MAX_BYTES - 8);
    assert_int_equal(url_parse(&u, (struct str){text, URL_MAX_BYTES + 1}, &e), -1);
}

static void test_host_limits(void **state)
{
    char text[300] = "http://";
    struct err e = {0};
    struct url u;

    (void)state;
    memset(text + 7, 'h', 256);
    assert_int_equal(url_parse(&u, (struct str){text, 7 + 255}, &e), 0);
    assert_int_equal(url_parse(&u, (struct str){text, 7 + 256}, &e), -1);
    /* The longest address, then one digit more. */
    assert_int_equal(
        url_parse(&u, STR("http://[0000:0000:0000:0000:0000:ffff:255.255.255.255]"), &e), 0);
    assert_int_equal(
        url_parse(&u, STR("http://[0000:0000:0000:0000:0000:fffff:255.255.255.255]"), &e), -1);
}

static void test_port_is_told(void **state)
{
    struct url u;

    (void)state;
    assert_int_equal(url_parse(&u, STR("http://h:80"), ERR_IGNORED), 0);
    assert_true(u.has_port);
    assert_int_equal(url_parse(&u, STR("http://h"), ERR_IGNORED), 0);
    assert_false(u.has_port);
}

static void test_errors(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"ftp://h/p", "URL \"ftp://h/p\": unknown scheme"},
        {"http:///p", "URL \"http:///p\": no host"},
        {"http://a,b/p", "URL \"http://a,b/p\": bad host"},
        {"http://h:0/p", "URL \"http://h:0/p\": bad port"},
        {"localhost:80", "URL \"localhost:80\": no scheme"},
        {"@ftp://h", "URL \"ftp://h\": unknown scheme"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        struct url u;
        assert_int_equal(url_parse(&u, str_of(cases[i].text), &e), -1);
        if (!str_starts_with(str_of(e.msg), str_of(cases[i].want)))
            fail_msg("%s", e.msg);
    }
}

static void test_errors_hide_secrets(void **state)
{
    struct err e = {0};
    struct url u;

    (void)state;
    assert_int_equal(url_parse(&u, STR("ftp://user:hush@h/p?sig=hush"), &e), -1);
    assert_null(strstr(e.msg, "hush"));
    assert_non_null(strstr(e.msg, "h/p"));
}

static void test_encoding(void **state)
{
    static const struct {
        const char *raw, *keep, *want;
    } cases[] = {
        {"", "", ""},
        {"azAZ09-._~", "", "azAZ09-._~"},
        {"a b/c", "/", "a%20b/c"},
        {"a b/c", "", "a%20b%2Fc"},
        {"\xc3\xa4%+?&=#\x7f", "", "%C3%A4%25%2B%3F%26%3D%23%7F"},
    };
    struct buf out = {0}, back = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        buf_clear(&back);
        url_put_encoded(&out, str_of(cases[i].raw), cases[i].keep);
        expect(cases[i].raw, "encoded", buf_str(&out), cases[i].want);
        assert_true(url_put_decoded(&back, buf_str(&out)));
        expect(cases[i].raw, "decoded", buf_str(&back), cases[i].raw);
    }
    buf_clear(&out);
    url_put_encoded(&out, STR("\0/"), "/");
    expect("NUL", "encoded", buf_str(&out), "%00/");
    buf_free(&out);
    buf_free(&back);
}

static void test_decoding(void **state)
{
    static const struct {
        const char *encoded, *want; /* NULL: refused */
    } cases[] = {
        {"a+b%20c", "a+b c"}, {"%e4%E4", "\xe4\xe4"}, {"%", NULL},    {"a%4", NULL},
        {"%4g", NULL},        {"%g4", NULL},          {"%%41", NULL}, {"%41", "A"},
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        buf_puts(&out, "x");
        bool is_good = url_put_decoded(&out, str_of(cases[i].encoded));
        if (is_good != (cases[i].want != NULL))
            fail_msg("%s: %s", cases[i].encoded, is_good ? "accepted" : "refused");
        expect(cases[i].encoded, "rest", str_slice(buf_str(&out), 1, out.len),
               is_good ? cases[i].want : "");
    }
    buf_free(&out);
}

static void test_query_get(void **state)
{
    static const struct {
        const char *query, *name, *want; /* NULL: absent */
    } cases[] = {
        {"", "a", NULL},         {"a", "a", ""},
        {"a=", "a", ""},         {"a=1&b=2", "b", "2"},
        {"ab=1&b=2", "b", "2"},  {"a=1=2&b", "a", "1=2"},
        {"&&a=1&", "a", "1"},    {"A=1", "a", NULL},
        {"a=%20+", "a", "%20+"}, {"a=first&a=second", "a", "first"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str value = STR("unset");
        bool has = url_query_get(str_of(cases[i].query), str_of(cases[i].name), &value);
        expect(cases[i].query, "value", value, cases[i].want != NULL ? cases[i].want : "unset");
        assert_int_equal(has, cases[i].want != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_bad),
        cmocka_unit_test(test_nul_and_length), cmocka_unit_test(test_errors_hide_secrets),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_host_limits),
        cmocka_unit_test(test_port_is_told),   cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_decoding),       cmocka_unit_test(test_query_get),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
