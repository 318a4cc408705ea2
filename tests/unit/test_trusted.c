/* Whom the servers believe, and whose request it then is. */
#include "unit.h"

#include "hub/trusted.h"

static struct addr address(const char *text)
{
    struct addr out;

    if (!addr_parse_literal(str_of(text), 1, &out))
        fail_msg("%s", text);
    return out;
}

static const struct parse_case {
    const char *name, *text, *inside, *outside; /* NULL: refused */
} parse_cases[] = {
    {"IPv4", "10.0.0.1", "10.0.0.1", "10.0.0.2"},
    {"mapped is the same", "10.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1"},
    {"mapped is named", "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"},
    {"IPv6", "2001:db8::1", "2001:db8::1", "2001:db8::2"},
    {"net", "10.1.0.0/16", "10.1.255.255", "10.2.0.0"},
    {"not whole bytes", "10.0.0.0/9", "10.127.0.1", "10.128.0.1"},
    {"last bit", "10.0.0.2/31", "10.0.0.3", "10.0.0.4"},
    {"bits behind the net are no matter", "10.0.0.7/8", "10.9.9.9", "11.0.0.7"},
    {"IPv6 net", "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
    {"any IPv4", "0.0.0.0/0", "255.1.2.3", "2001:db8::1"},
    {"any at all", "::/0", "1.2.3.4", NULL},
    {"the second", "127.0.0.1,10.0.0.0/8", "10.3.2.1", "127.0.0.2"},
    {"empty", "", NULL, NULL},
    {"a name", "localhost", NULL, NULL},
    {"empty item", "10.0.0.1,", NULL, NULL},
    {"space", "10.0.0.1, 10.0.0.2", NULL, NULL},
    {"too many bits", "10.0.0.1/33", NULL, NULL},
    {"too many bits of IPv6", "::1/129", NULL, NULL},
    {"no bits", "10.0.0.1/", NULL, NULL},
    {"bits that are none", "10.0.0.1/8x", NULL, NULL},
    {"port", "10.0.0.1:80", NULL, NULL},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        struct trusted t = {.count = 0};
        struct err e = {0};
        int result = trusted_parse(&t, str_of(c->text), &e);
        unit_true(c->name, (result == 0) == (c->inside != NULL));
        unit_true(c->name, result == 0 || (e.code == ERR_USAGE && t.count == 0));
        if (c->inside != NULL) {
            struct addr inside = address(c->inside);
            unit_true(c->name, trusted_has(&t, &inside));
        }
        if (c->outside != NULL) {
            struct addr outside = address(c->outside);
            unit_true(c->name, !trusted_has(&t, &outside));
        }
    }
}

static void test_sixteen(void **state)
{
    struct trusted t = {.count = 0};
    struct addr none = {.len = 0}; /* of no family, as a Unix socket's */
    struct buf text = {0};

    (void)state;
    for (int i = 1; i < TRUSTED_MAX; i++)
        buf_puts(&text, "1.1.1.1,");
    buf_puts(&text, "::/0");
    assert_int_equal(trusted_parse(&t, buf_str(&text), ERR_IGNORED), 0);
    assert_int_equal(t.count, TRUSTED_MAX);
    assert_false(trusted_has(&t, &none));
    buf_puts(&text, ",::1");
    assert_int_equal(trusted_parse(&t, buf_str(&text), ERR_IGNORED), -1);
    buf_free(&text);
}

/* The peer is 10.0.0.1; all of 10.0.0.0/8 and ::1 are trusted. */
static const struct client_case {
    const char *name, *headers, *want;
} client_cases[] = {
    {"no header", "", "10.0.0.1:0"},
    {"one", "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4:0"},
    {"any case", "x-forwarded-FOR: 1.2.3.4\r\n", "1.2.3.4:0"},
    {"what the client said of itself", "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n", "1.2.3.4:0"},
    {"through two", "X-Forwarded-For: 9.9.9.9,1.2.3.4 ,\t10.7.7.7\r\n", "1.2.3.4:0"},
    {"all trusted", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3:0"},
    {"several headers", "X-Forwarded-For: 9.9.9.9\r\nA: b\r\nX-Forwarded-For: 1.2.3.4\r\n",
     "1.2.3.4:0"},
    {"through two headers", "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\nX-Forwarded-For: ::1\r\n",
     "1.2.3.4:0"},
    {"IPv6", "X-Forwarded-For: 2001:db8::7\r\n", "[2001:db8::7]:0"},
    {"port", "X-Forwarded-For: 1.2.3.4:567\r\n", "1.2.3.4:0"},
    {"brackets", "X-Forwarded-For: [2001:db8::7]\r\n", "[2001:db8::7]:0"},
    {"brackets and port", "X-Forwarded-For: [2001:db8::7]:567\r\n", "[2001:db8::7]:0"},
    {"unknown", "X-Forwarded-For: unknown\r\n", "10.0.0.1:0"},
    {"unknown and a trusted one", "X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.2\r\n", "10.0.0.2:0"},
    {"empty", "X-Forwarded-For: \r\n", "10.0.0.1:0"},
    {"empty at the end", "X-Forwarded-For: 1.2.3.4,\r\n", "10.0.0.1:0"},
    {"of an interface", "X-Forwarded-For: fe80::1%lo\r\n", "10.0.0.1:0"},
    {"open bracket", "X-Forwarded-For: [::2\r\n", "[::2]:0"},
    {"another header", "Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n", "10.0.0.1:0"},
};

static void test_clients(void **state)
{
    struct trusted t;

    (void)state;
    assert_int_equal(trusted_parse(&t, STR("10.0.0.0/8,::1"), ERR_IGNORED), 0);
    for (size_t i = 0; i < UNIT_COUNT(client_cases); i++) {
        const struct client_case *c = &client_cases[i];
        struct http_head_parser parser = {0};
        struct http_head head;
        struct buf text = {0}, got = {0};
        struct addr client = address("10.0.0.1");
        int status;

        addr_parse_literal(STR("10.0.0.1"), 0, &client);
        buf_printf(&text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", c->headers);
        unit_true(c->name, http_head_parse(&parser, HTTP_REQUEST, buf_str(&text), STR(""), &head,
                                           &status, ERR_IGNORED) == IO_DONE);
        trusted_find_client(&t, &head, &client);
        addr_put(&got, &client);
        unit_equal(c->name, buf_cstr(&got), c->want);
        buf_free(&text);
        buf_free(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_sixteen),
        cmocka_unit_test(test_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
