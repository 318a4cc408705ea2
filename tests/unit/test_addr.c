/* Address literals, listen addresses, and the order in which addresses are tried. */
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "net/socket.h"
#include "proto/addr.h"
#include "unit.h"

static void literals(void **state)
{
    static const struct {
        const char *host, *want; /* NULL: no literal */
    } cases[] = {
        {"127.0.0.1", "127.0.0.1:80"},
        {"255.255.255.255", "255.255.255.255:80"},
        {"::1", "[::1]:80"},
        {"::", "[::]:80"},
        {"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:80"},
        {"::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"},
        {"fe80::1%lo", "[fe80::1%1]:80"},
        {"fe80::1%1", "[fe80::1%1]:80"},
        {"", NULL},
        {"localhost", NULL},
        {"1.2.3", NULL},
        {"1.2.3.256", NULL},
        {"01.2.3.4.5", NULL},
        {"[::1]", NULL},
        {":::1", NULL},
        {"fe80::1%no-such-interface", NULL},
        {"fe80::1%", NULL},
        {"1.2.3.4%lo", NULL},
        {"1.2.3.4 ", NULL},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct addr a;
        struct buf b = {0};
        bool is_literal = addr_parse_literal(str_of(cases[i].host), 80, &a);
        unit_true(cases[i].host, is_literal == (cases[i].want != NULL));
        if (is_literal) {
            addr_put(&b, &a);
            unit_equal(cases[i].host, buf_cstr(&b), cases[i].want);
            assert_int_equal(addr_port(&a), 80);
        }
        buf_free(&b);
    }
    assert_false(addr_parse_literal((struct str){"1.2.3.4\0x", 9}, 80, &(struct addr){0}));
}

/* '4' and '6' in the order of the look-up, and the order of the attempts by index. */
static void interleaving(void **state)
{
    static const struct {
        const char *families, *want;
    } cases[] = {
        {"", ""},           {"4", "0"},         {"6", "0"},           {"44", "01"},
        {"64", "01"},       {"46", "01"},       {"6644", "0213"},     {"4466", "0213"},
        {"666664", "051234"}, {"466666", "012345"}, {"446", "021"}, {"64646", "01234"},
        {"6666444466664444", "041526378c9daebf"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct addr_list list = {0};
        char got[ADDR_MAX + 1] = {0};
        for (const char *p = cases[i].families; *p != '\0'; p++, list.count++)
            addr_parse_literal(*p == '6' ? STR("::1") : STR("127.0.0.1"), (uint16_t)list.count,
                               &list.items[list.count]);
        addr_interleave(&list);
        for (size_t n = 0; n < list.count; n++)
            got[n] = "0123456789abcdef"[addr_port(&list.items[n])];
        unit_equal(cases[i].families, got, cases[i].want);
    }
}

static void listen_texts(void **state)
{
    static const struct {
        const char *text, *host; /* NULL: refused */
        int port;
    } cases[] = {
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"localhost:0", "localhost", 0},
        {"[::1]:65535", "::1", 65535},
        {":80", "", 80},
        {"80", "", 80},
        {"", NULL, 0},
        {"host", NULL, 0},
        {"host:", NULL, 0},
        {"host:65536", NULL, 0},
        {"host:-1", NULL, 0},
        {"host: 80", NULL, 0},
        {"::1:80", NULL, 0},
        {"[::1]", NULL, 0},
        {"[::1]80", NULL, 0},
        {"[::1]:", NULL, 0},
        {"[]:80", NULL, 0},
        {"[::1", NULL, 0},
        {"http://host:80", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct str host = STR("before");
        uint16_t port = 1;
        struct err e = {0};
        int result = addr_split_listen(str_of(cases[i].text), &host, &port, &e);
        unit_true(cases[i].text, (result == 0) == (cases[i].host != NULL));
        if (result == 0) {
            unit_equal_str(cases[i].text, host, str_of(cases[i].host));
            unit_true(cases[i].text, port == cases[i].port);
        } else {
            unit_true(cases[i].text, e.code == ERR_USAGE && port == 1);
            unit_true(cases[i].text, strstr(e.msg, cases[i].text) != NULL);
        }
    }
}

static int connect_to(const struct addr *a)
{
    int fd = socket(a->storage.ss_family, SOCK_STREAM, 0);
    int result = connect(fd, (const struct sockaddr *)&a->storage, a->len);

    close(fd);
    return result;
}

static void listens(void **state)
{
    static const char *const texts[] = {"127.0.0.1:0", "localhost:0", ":0", "0"};
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        struct addr bound, v4;
        int fd = -1;
        unit_true(texts[i], socket_listen(str_of(texts[i]), &fd, &bound, &e) == 0);
        unit_true(texts[i], addr_port(&bound) != 0);
        unit_true(texts[i], (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        unit_true(texts[i], (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        if (i != 1) { /* all addresses include the IPv4 ones */
            addr_parse_literal(STR("127.0.0.1"), addr_port(&bound), &v4);
            unit_true(texts[i], connect_to(&v4) == 0);
        }
        close(fd);
    }
}

static void a_taken_port_is_an_error(void **state)
{
    struct addr bound, again;
    struct buf text = {0};
    struct err e = {0};
    int fd = -1, other = -1;

    (void)state;
    assert_int_equal(socket_listen(STR("127.0.0.1:0"), &fd, &bound, &e), 0);
    addr_put(&text, &bound);
    assert_int_equal(socket_listen(buf_str(&text), &other, &again, &e), -1);
    unit_true("names the address", strstr(e.msg, buf_cstr(&text)) != NULL);
    unit_true("names the cause", strstr(e.msg, "in use") != NULL);
    assert_int_equal(other, -1);
    close(fd);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals),
        cmocka_unit_test(interleaving),
        cmocka_unit_test(listen_texts),
        cmocka_unit_test(listens),
        cmocka_unit_test(a_taken_port_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
