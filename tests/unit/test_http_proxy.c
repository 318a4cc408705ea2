/* Which proxy a URL goes through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http_proxy.h"

static const struct {
    const char *list, *host;
    uint16_t port;
    bool is_excluded;
} exclusions[] = {
    {"", "host", 80, false},
    {"*", "host", 80, true},
    {"example.org", "example.org", 80, true},
    {"example.org", "a.example.org", 80, true},
    {".example.org", "a.example.org", 80, true},
    {".example.org", "example.org", 80, true},
    {"*.example.org", "a.b.example.org", 80, true},
    {"example.org", "notexample.org", 80, false},
    {"example.org", "example.org.", 80, true},
    {"EXAMPLE.org", "Example.ORG", 80, true},
    {"one, example.org two", "example.org", 80, true},
    {"one,,two", "three", 80, false},
    {",", "host", 80, false},
    {"example.org:8080", "example.org", 8080, true},
    {"example.org:8080", "example.org", 80, false},
    {"127.0.0.1", "127.0.0.1", 80, true},
    {"127.0.0.1", "127.0.0.10", 80, false},
    {"10.0.0.0/8", "10.200.3.4", 80, true},
    {"10.0.0.0/8", "11.0.0.1", 80, false},
    {"192.168.1.128/25", "192.168.1.129", 80, true},
    {"192.168.1.128/25", "192.168.1.1", 80, false},
    {"10.0.0.0/33", "10.0.0.0", 80, false},
    {"0.0.0.0/0", "8.8.8.8", 80, true},
    {"0.0.0.0/0", "::1", 80, false},
    {"::1", "::1", 80, true},
    {"fd00::/8", "fd12::1", 80, true},
    {"fd00::/8", "fe80::1", 80, false},
    {"[::1]:8080", "::1", 8080, true},
    {"[::1]:8080", "::1", 80, false},
    {"[::1]", "::1", 80, true},
    {"10.0.0.0/8", "10.example", 80, false},
    {"0.0.1", "127.0.0.1", 80, false},
    {"127.0.0.1:80", "127.0.0.1", 80, true},
};

static void test_exclusions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof exclusions / sizeof *exclusions; i++)
        if (http_proxy_is_excluded(str_of(exclusions[i].list), str_of(exclusions[i].host),
                                   exclusions[i].port) != exclusions[i].is_excluded)
            fail_msg("no_proxy=%s and %s:%d", exclusions[i].list, exclusions[i].host,
                     exclusions[i].port);
}

static const struct {
    const char *name;
    const char *variables[4]; /* name, value, … */
    const char *url;
    const char *want; /* "host:port authorization", "" for none, NULL for an error */
} choices[] = {
    {"nothing set", {NULL}, "http://h/", ""},
    {"plain", {"http_proxy", "http://p:3128"}, "http://h/", "p:3128 "},
    {"upper case", {"HTTPS_PROXY", "http://p:3128/"}, "wss://h/", "p:3128 "},
    {"lower case first",
     {"http_proxy", "http://a:1", "HTTP_PROXY", "http://b:1"},
     "ws://h",
     "a:1 "},
    {"other scheme's", {"http_proxy", "http://p:3128"}, "https://h/", ""},
    {"all_proxy", {"all_proxy", "p:8080"}, "https://h/", "p:8080 "},
    {"more special first",
     {"ALL_PROXY", "http://a:1", "https_proxy", "http://b:1"},
     "https://h/",
     "b:1 "},
    {"empty counts as unset", {"https_proxy", "", "all_proxy", "http://b:1"}, "https://h/", "b:1 "},
    {"without port", {"http_proxy", "http://p"}, "http://h/", "p:80 "},
    {"without scheme and port", {"http_proxy", "p"}, "http://h/", "p:3128 "},
    {"IPv6", {"http_proxy", "http://[::1]:3128"}, "http://h/", "::1:3128 "},
    {"credentials",
     {"http_proxy", "http://us%40er:pa%3ass@p:1"},
     "http://h/",
     "p:1 Basic dXNAZXI6cGE6c3M="},
    {"user alone", {"http_proxy", "http://user@p:1"}, "http://h/", "p:1 Basic dXNlcjo="},
    {"no_proxy", {"http_proxy", "http://p:1", "no_proxy", "h"}, "http://h/", ""},
    {"NO_PROXY", {"http_proxy", "http://p:1", "NO_PROXY", ".h"}, "http://a.h/", ""},
    {"no_proxy with port", {"http_proxy", "http://p:1", "no_proxy", "h:81"}, "http://h/", "p:1 "},
    {"forged by a CGI server",
     {"HTTP_PROXY", "http://p:1", "REQUEST_METHOD", "GET"},
     "http://h/",
     ""},
    {"socks", {"all_proxy", "socks5://p:1080"}, "http://h/", NULL},
    {"https to the proxy", {"https_proxy", "https://p:1"}, "https://h/", NULL},
    {"nonsense", {"http_proxy", "http://:99999"}, "http://h/", NULL},
    {"bad escape", {"http_proxy", "http://secret%zz:x@p:1"}, "http://h/", NULL},
};

static void test_choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct http_proxy proxy = {0};
        struct err e = {0};
        struct url url;
        struct buf got = {0};
        for (size_t k = 0; k < 4 && choices[i].variables[k] != NULL; k += 2)
            setenv(choices[i].variables[k], choices[i].variables[k + 1], 1);
        assert_int_equal(url_parse(&url, str_of(choices[i].url), &e), 0);
        int result = http_proxy_find(&proxy, &url, &e);
        if (result == 0 && proxy.is_used)
            buf_printf(&got, "%s:%d %s", proxy.host, proxy.port, buf_cstr(&proxy.authorization));
        if ((result == 0) != (choices[i].want != NULL) ||
            (result == 0 && strcmp(buf_cstr(&got), choices[i].want) != 0))
            fail_msg("%s: %s %s", choices[i].name, buf_cstr(&got), e.msg);
        if (result != 0) {
            assert_non_null(strstr(e.msg, choices[i].variables[0]));
            assert_null(strstr(e.msg, "secret"));
        } else {
            http_proxy_deinit(&proxy);
        }
        for (size_t k = 0; k < 4 && choices[i].variables[k] != NULL; k += 2)
            unsetenv(choices[i].variables[k]);
        buf_free(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusions),
        cmocka_unit_test(test_choices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
