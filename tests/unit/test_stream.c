/* Plain streams: parts, ends, resets, and whether a kept one can be used again. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/stream.h"
#include "unit.h"

struct ends {
    struct stream *stream;
    int peer;
};

/* Connected over loopback: our end and the peer's plain descriptor. */
static struct ends open_ends(void)
{
    struct addr bound;
    struct err e = {0};
    struct ends ends;
    int listener = -1, fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(addr_listen(STR("127.0.0.1:0"), &listener, &bound, &e), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&bound.storage, bound.len), 0);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(accepted >= 0);
    close(listener);
    ends.stream = stream_new(accepted);
    ends.peer = fd;
    assert_non_null(ends.stream);
    return ends;
}

static void wait_readable(struct stream *s)
{
    struct pollset set = {0};

    stream_poll(s, true, false, &set);
    assert_int_equal(set.fds[0].events, POLLIN);
    assert_int_equal(pollset_wait(&set, NULL), 1);
    pollset_free(&set);
}

static void reset_by_peer(int peer)
{
    struct linger now = {1, 0};

    setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(peer);
}

static void reads_what_is_there(void **state)
{
    struct ends ends = open_ends();
    struct err e = {0};
    char data[3];
    size_t n = 0;

    (void)state;
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_WANT_READ);
    assert_int_equal(write(ends.peer, "hello", 5), 5);
    wait_readable(ends.stream);
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_DONE);
    unit_equal_str("first", ((struct str){data, n}), STR("hel"));
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_DONE);
    unit_equal_str("second", ((struct str){data, n}), STR("lo"));
    shutdown(ends.peer, SHUT_WR);
    wait_readable(ends.stream);
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_EOF);
    stream_free(ends.stream);
    close(ends.peer);
}

static void a_reset_is_no_end(void **state)
{
    struct ends ends = open_ends();
    struct err e = {0};
    char data[3];
    size_t n = 0;

    (void)state;
    reset_by_peer(ends.peer);
    wait_readable(ends.stream);
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_ERR);
    assert_int_equal(e.code, ERR_NETWORK);
    unit_equal("reset", e.msg, "cannot receive: Connection reset by peer");
    /* No signal ends the process. */
    assert_int_equal(stream_write(ends.stream, STR("x"), &n, &e), IO_ERR);
    assert_int_equal(e.code, ERR_NETWORK);
    stream_free(ends.stream);
}

static void writes_two_parts_at_once(void **state)
{
    static const struct {
        const char *first, *second, *want;
    } cases[] = {
        {"head ", "body", "head body"}, {"head", "", "head"}, {"", "body", "body"}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct ends ends = open_ends();
        struct err e = {0};
        char data[32];
        size_t n = 0;
        unit_true(cases[i].want, stream_write2(ends.stream, str_of(cases[i].first),
                                               str_of(cases[i].second), &n, &e) == IO_DONE);
        unit_true(cases[i].want, n == strlen(cases[i].want));
        stream_free(ends.stream);
        ssize_t got = recv(ends.peer, data, sizeof data, MSG_WAITALL);
        unit_equal_str(cases[i].want, ((struct str){data, (size_t)got}), str_of(cases[i].want));
        close(ends.peer);
    }
}

static void a_full_socket_wants_to_wait(void **state)
{
    struct ends ends = open_ends();
    struct pollset set = {0};
    struct err e = {0};
    static char data[100000];
    size_t n = 0, total = 0, got = 0;
    enum io io;

    (void)state;
    memset(data, 'z', sizeof data);
    while ((io = stream_write(ends.stream, (struct str){data, sizeof data}, &n, &e)) == IO_DONE)
        total += n;
    assert_int_equal(io, IO_WANT_WRITE);
    while (got < total) {
        ssize_t r = recv(ends.peer, data, sizeof data, 0);
        assert_true(r > 0);
        got += (size_t)r;
    }
    stream_poll(ends.stream, false, true, &set);
    assert_int_equal(set.fds[0].events, POLLOUT);
    assert_int_equal(pollset_wait(&set, &e), 1);
    assert_int_equal(stream_write(ends.stream, STR("x"), &n, &e), IO_DONE);
    pollset_free(&set);
    stream_free(ends.stream);
    close(ends.peer);
}

static void staleness(void **state)
{
    static const struct {
        const char *name, *bytes;
        bool is_closed, is_reset, want;
    } cases[] = {{"quiet", "", false, false, false},
                 {"unexpected bytes", "x", false, false, true},
                 {"closed", "", true, false, true},
                 {"reset", "", false, true, true}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct ends ends = open_ends();
        if (cases[i].bytes[0] != '\0')
            assert_int_equal(write(ends.peer, cases[i].bytes, 1), 1);
        if (cases[i].is_closed)
            shutdown(ends.peer, SHUT_WR);
        if (cases[i].is_reset)
            reset_by_peer(ends.peer);
        if (cases[i].want)
            wait_readable(ends.stream);
        unit_true(cases[i].name, stream_is_stale(ends.stream) == cases[i].want);
        stream_free(ends.stream);
        if (!cases[i].is_reset)
            close(ends.peer);
    }
    stream_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there),      cmocka_unit_test(a_reset_is_no_end),
        cmocka_unit_test(writes_two_parts_at_once), cmocka_unit_test(a_full_socket_wants_to_wait),
        cmocka_unit_test(staleness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
