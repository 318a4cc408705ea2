/* Plain streams: parts, ends, resets, and whether a kept one can be used again. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "net/stream.h"
#include "waker.h"

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

    assert_int_equal(socket_listen(STR("127.0.0.1:0"), &listener, &bound, &e), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&bound.storage, bound.len), 0);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(accepted >= 0);
    close(listener);
    const struct loop_wake wake = waker_of(&waker);
    ends.stream = stream_new(accepted, &wake);
    ends.peer = fd;
    assert_non_null(ends.stream);
    return ends;
}

/* As after an IO_WANT_READ. */
static void wait_readable(struct stream *s)
{
    struct err e = {0};

    assert_int_equal(stream_expect(s, &e), 0);
    waker_wait(&waker);
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
    } cases[] = {{"head ", "body", "head body"}, {"head", "", "head"}, {"", "body", "body"}};

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
    waker_wait(&waker);
    assert_int_equal(stream_write(ends.stream, STR("x"), &n, &e), IO_DONE);
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

/* What nobody waits for wakes nobody, and does not keep the loop busy. */
static void only_what_is_wanted_wakes(void **state)
{
    struct ends ends = open_ends();
    struct err e = {0};
    char data[3];
    size_t n = 0;

    (void)state;
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_WANT_READ);
    assert_false(waker_wait_ms(&waker, 20));
    assert_int_equal(write(ends.peer, "hello", 5), 5);
    waker_wait(&waker);
    waker.wakes = 0;
    assert_false(waker_wait_ms(&waker, 20));
    assert_int_equal(waker.wakes, 0);
    assert_true(rounds_nothing_is_left(waker.loop, &waker.clock));
    /* The end of both directions cannot be left out by the kernel. */
    shutdown(ends.peer, SHUT_RDWR);
    stream_end(ends.stream);
    assert_false(waker_wait_ms(&waker, 20));
    assert_true(rounds_nothing_is_left(waker.loop, &waker.clock));
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_DONE);
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_DONE);
    assert_int_equal(stream_read(ends.stream, data, sizeof data, &n, &e), IO_EOF);
    stream_free(ends.stream);
    close(ends.peer);
}

/* An owner that yields has another turn, but not before a descriptor had its own. */
struct yielder {
    struct stream *stream;
    unsigned turns, others, others_at_last;
};

static void yield_again(void *owner)
{
    struct yielder *y = owner;

    y->turns++;
    y->others_at_last = y->others;
    stream_yield(y->stream);
}

static void count_other(void *owner)
{
    ((struct yielder *)owner)->others++;
}

static bool has_yielded(void *owner)
{
    return ((struct yielder *)owner)->turns >= 100;
}

static void yields_are_fair(void **state)
{
    struct ends ends = open_ends();
    struct yielder y = {.stream = ends.stream};
    const struct loop_wake wake = {waker.loop, yield_again, &y};
    struct loop_fd other = {.fd = ends.peer, .call = count_other, .owner = &y};
    struct err e = {0};

    (void)state;
    assert_int_equal(loop_add(waker.loop, &other, LOOP_WRITE, &e), 0);
    stream_set_wake(ends.stream, &wake);
    stream_yield(ends.stream);
    assert_int_equal(y.turns, 0);
    assert_int_equal(loop_run_until(waker.loop, has_yielded, &y, &e), 0);
    assert_true(y.others_at_last >= y.turns - 1);
    loop_remove(waker.loop, &other);
    stream_free(ends.stream);
    close(ends.peer);
}

/* What the owner before waited for is not the next one's. */
static void another_owner(void **state)
{
    struct ends ends = open_ends();
    struct waker before = {0};
    const struct loop_wake first = {waker.loop, waker_call, &before}, next = waker_of(&waker);
    struct err e = {0};
    char byte;
    size_t n;

    (void)state;
    stream_set_wake(ends.stream, &first);
    assert_int_equal(stream_read(ends.stream, &byte, 1, &n, &e), IO_WANT_READ);
    stream_yield(ends.stream);
    stream_set_wake(ends.stream, &next);
    assert_int_equal(write(ends.peer, "x", 1), 1);
    assert_false(waker_wait_ms(&waker, 20));
    assert_int_equal(stream_expect(ends.stream, &e), 0);
    waker_wait(&waker);
    assert_int_equal(before.wakes, 0);
    stream_free(ends.stream);
    close(ends.peer);
}

/* A loop that has no room is the step's error. */
static void no_room_to_wait(void **state)
{
    struct ends ends = open_ends();
    struct loop *other = rounds_loop_without_room();
    const struct loop_wake wake = {other, waker_call, &waker};
    struct err e = {0};
    char byte;
    size_t n;

    (void)state;
    stream_set_wake(ends.stream, &wake);
    assert_int_equal(stream_read(ends.stream, &byte, 1, &n, &e), IO_ERR);
    assert_int_equal(e.code, ERR_FAILED);
    unit_true("says so", strstr(e.msg, "cannot watch descriptor") != NULL);
    stream_free(ends.stream);
    close(ends.peer);
    loop_free(other);
}

/* A loss wakes an owner that waits for nothing; the end of one direction does not. */
static void losses(void **state)
{
    struct ends ends = open_ends();
    struct err e = {0};

    (void)state;
    assert_int_equal(stream_expect_loss(ends.stream, &e), 0);
    assert_int_equal(write(ends.peer, "x", 1), 1);
    shutdown(ends.peer, SHUT_WR);
    assert_false(waker_wait_ms(&waker, 20));
    assert_false(stream_is_lost(ends.stream));
    reset_by_peer(ends.peer);
    waker_wait(&waker);
    assert_true(stream_is_lost(ends.stream));
    waker_wait(&waker); /* until something is done about it */
    stream_free(ends.stream);
}

static void sends_files(void **state)
{
    struct ends ends = open_ends();
    struct err e = {0};
    char path[] = "/tmp/stream-XXXXXX", data[16];
    int fd = mkstemp(path);
    size_t n = 0;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(stream_write_more(ends.stream, STR("head "), &n, &e), IO_DONE);
    assert_int_equal(stream_send_file(ends.stream, fd, 3, 4, &n, &e), IO_DONE);
    assert_int_equal(n, 4);
    assert_int_equal(recv(ends.peer, data, 9, MSG_WAITALL), 9);
    unit_equal_str("file", ((struct str){data, 9}), STR("head 3456"));
    assert_int_equal(stream_send_file(ends.stream, fd, 10, 4, &n, &e), IO_EOF);
    /* What sendfile(2) does not take is read, or cannot be. */
    int folder = open("/", O_RDONLY);
    assert_int_equal(stream_send_file(ends.stream, folder, 0, 4, &n, &e), IO_ERR);
    assert_int_equal(e.code, ERR_FAILED);
    unit_equal("no file", e.msg, "Is a directory");
    close(folder);
    reset_by_peer(ends.peer);
    wait_readable(ends.stream);
    assert_int_equal(stream_send_file(ends.stream, fd, 0, 4, &n, &e), IO_ERR);
    assert_int_equal(e.code, ERR_NETWORK);
    stream_free(ends.stream);
    close(fd);
}

static void a_descriptor_leaves(void **state)
{
    struct ends ends = open_ends();
    struct err e = {0};
    struct addr peer;
    char byte;
    size_t n;
    int fd;

    (void)state;
    assert_true(stream_peer(ends.stream, &peer));
    assert_true(addr_port(&peer) > 0);
    assert_int_equal(stream_read(ends.stream, &byte, 1, &n, &e), IO_WANT_READ);
    stream_yield(ends.stream);
    assert_true(stream_has_fd(ends.stream));
    fd = stream_take_fd(ends.stream);
    assert_true(fd >= 0);
    assert_int_equal(write(ends.peer, "x", 1), 1);
    assert_false(waker_wait_ms(&waker, 20));
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    close(ends.peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(reads_what_is_there),
        WAKER_TEST(a_reset_is_no_end),
        WAKER_TEST(writes_two_parts_at_once),
        WAKER_TEST(a_full_socket_wants_to_wait),
        WAKER_TEST(staleness),
        WAKER_TEST(only_what_is_wanted_wakes),
        WAKER_TEST(yields_are_fair),
        WAKER_TEST(another_owner),
        WAKER_TEST(no_room_to_wait),
        WAKER_TEST(losses),
        WAKER_TEST(sends_files),
        WAKER_TEST(a_descriptor_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
