/* The URL that a client is given: of its own Host, which may be anything, or as configured. */
#include "unit.h"

#include "base/buf.h"
#include "http/own_url.h"

static char listen_url[] = "http://listen:1", public_url[] = "https://public.example/k";

static const struct host_case {
    const char *name, *host, *url, *proto;
} host_cases[] = {
    {"name", "hub.example:8080", "http://hub.example:8080", NULL},
    {"v6", "[::1]:80", "http://[::1]:80", NULL},
    {"none", NULL, "http://listen:1", NULL},
    {"empty", "", "http://listen:1", NULL},
    {"path", "evil/x", "http://listen:1", NULL},
    {"user", "a@b", "http://listen:1", NULL},
    {"query", "a?b", "http://listen:1", NULL},
    {"behind TLS", "hub.example", "https://hub.example", "HTTPS"},
    {"behind a front without", "hub.example", "http://hub.example", "http"},
    {"no scheme", "hub.example", "http://hub.example", "javascript"},
};

static void test_base_url(void **state)
{
    struct own_url own = {.listen_url = listen_url};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(host_cases); i++) {
        const struct host_case *c = &host_cases[i];
        struct http_head head = {.headers = {{STR("Host"), str_of(c->host)},
                                             {STR("X-Forwarded-Proto"), str_of(c->proto)}}};
        struct buf url = {0};
        head.header_count = c->host == NULL ? 0 : c->proto == NULL ? 1 : 2;
        own_url_put(&own, &head, &url);
        unit_equal(host_cases[i].name, buf_cstr(&url), host_cases[i].url);
        buf_free(&url);
    }
}

/* Configured, it is that, whatever the client says. */
static void test_public_url(void **state)
{
    const struct own_url own = {.public_url = public_url, .listen_url = listen_url};
    const struct http_head head = {.headers = {{STR("Host"), STR("evil.example")}},
                                   .header_count = 1};
    struct buf url = {0};

    (void)state;
    own_url_put(&own, &head, &url);
    unit_equal("public", buf_cstr(&url), public_url);
    assert_true(own_url_knows_scheme(&own, &head));
    buf_free(&url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_url),
        cmocka_unit_test(test_public_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
