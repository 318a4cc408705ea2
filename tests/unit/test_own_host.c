/* Which Hosts are this server's own. */
#include "http/own_host.h"

#include <strings.h>

#include "unit.h"

static const struct host_case {
    const char *host;
    bool is_own, is_own_with_public;
} cases[] = {
    {"127.0.0.1", true, true},
    {"127.0.0.1:8080", true, true},
    {"192.168.1.7:80", true, true},
    {"[::1]", true, true},
    {"[::1]:8080", true, true},
    {"[fe80::1]:1", true, true},
    {"localhost:8080", true, true},
    {"LOCALHOST", true, true},
    {"localhost.", true, true},
    {"hub", true, true},
    {"node7.cluster.example:81", true, true},
    {"NODE7.cluster.EXAMPLE.", true, true},
    {"kachery.lab.example", false, true},
    {"Kachery.Lab.example:9", false, true},
    {"kachery.lab.example.", false, true},
    {"evil.example", false, false},
    {"evil.kachery.lab.example", false, false},
    {"kachery.lab.example.evil.example", false, false},
    {"127.0.0.1.evil.example", false, false},
    {"1.2.3", false, false},
    {"1.2.3.4.5", false, false},
    {"256.0.0.1", false, false},
    {"localhost.evil.example", false, false},
    {"user@localhost", false, false},
    {"localhost/evil", false, false},
    {"localhost?", false, false},
    {"", false, false},
    {".", false, false},
    {":80", false, false},
    {"evil.example:80:80", false, false},
};

static void test_hosts(void **state)
{
    const char *own = "node7.cluster.example", *public_url = "https://kachery.lab.example/x";

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct host_case *c = &cases[i];
        struct str host = str_of(c->host);
        bool is_node = strncasecmp(c->host, "node7", 5) == 0;
        unit_true(c->host, own_host_admits(host, own, NULL) == c->is_own);
        unit_true(c->host, own_host_admits(host, own, public_url) == c->is_own_with_public);
        unit_true(c->host,
                  own_host_admits(host, "", public_url) == (c->is_own_with_public && !is_node));
    }
}

static const struct request_case {
    const char *name, *text;
    bool is_own;
} requests[] = {
    {"own", "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", true},
    {"other", "GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n", false},
    {"none", "GET /x HTTP/1.0\r\n\r\n", false},
    {"empty", "GET /x HTTP/1.1\r\nHost:\r\n\r\n", false},
    {"absolute", "GET http://localhost/x HTTP/1.1\r\nHost: localhost\r\n\r\n", true},
    {"other target", "GET http://evil.example/x HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
    {"own target", "GET http://localhost/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", false},
};

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(requests); i++) {
        struct http_head_parser parser = {0};
        struct http_head head;
        int status;
        enum io io = http_head_parse(&parser, HTTP_REQUEST, str_of(requests[i].text), STR(""),
                                     &head, &status, ERR_IGNORED);
        unit_true(requests[i].name,
                  requests[i].is_own == (io == IO_DONE && own_host_is(&head, NULL)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts),
                                       cmocka_unit_test(test_requests)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
