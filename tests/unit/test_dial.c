/* Dialling: several addresses of which some refuse and some are silent; time is an argument. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/dial.h"
#include "waker.h"

enum { MAX_FILLERS = 8 };

/* One port on several loopback addresses, each of them something else. */
struct peers {
    uint16_t port;
    int listeners[4], fillers[MAX_FILLERS];
    size_t count, filler_count;
};

static struct addr address(size_t i, uint16_t port)
{
    struct addr a;
    char text[16];

    snprintf(text, sizeof text, "127.0.0.%zu", i + 1);
    assert_true(addr_parse_literal(str_of(text), port, &a));
    return a;
}

static int open_socket(const struct addr *a, bool listens, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (const struct sockaddr *)&a->storage, a->len), 0);
    if (listens)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

/* A listener that answers no more: its queue is filled and nobody accepts. */
static void fill(struct peers *p, const struct addr *a)
{
    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(connect(fd, (const struct sockaddr *)&a->storage, a->len) == 0 ||
                    errno == EINPROGRESS);
        p->fillers[p->filler_count++] = fd;
    }
}

/* 'l' listens, 'r' refuses, 's' is silent. */
static void open_peers(struct peers *p, const char *kinds)
{
    struct addr a = address(0, 0);
    socklen_t len = sizeof a.storage;

    *p = (struct peers){0};
    for (; kinds[p->count] != '\0'; p->count++) {
        a = address(p->count, p->port);
        p->listeners[p->count] =
            open_socket(&a, kinds[p->count] != 'r', kinds[p->count] == 's' ? 0 : 16);
        getsockname(p->listeners[p->count], (struct sockaddr *)&a.storage, &len);
        p->port = addr_port(&a);
        if (kinds[p->count] == 's')
            fill(p, &a);
    }
}

static void close_peers(struct peers *p)
{
    for (size_t i = 0; i < p->count; i++)
        close(p->listeners[i]);
    for (size_t i = 0; i < p->filler_count; i++)
        close(p->fillers[i]);
}

/* As if a look-up had found all of them. */
static void start(struct dial *d, const struct peers *p, int64_t deadline_ms)
{
    const struct loop_wake wake = waker_of(&waker);
    struct err e = {0};

    assert_int_equal(dial_start(d, &wake, STR("127.0.0.1"), p->port, deadline_ms, &e), 0);
    for (size_t i = 0; i < p->count; i++)
        d->resolve.found.items[i] = address(i, p->port);
    d->resolve.found.count = p->count;
}

static enum io run(struct dial *d, int *fd, struct err *e)
{
    enum io io;

    while ((io = dial_step(d, clock_now_ms(), fd, e)) == IO_WANT_WRITE)
        waker_wait(&waker);
    return io;
}

/* The index of the address that a socket is connected to. */
static int peer_of(int fd)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;

    assert_int_equal(getpeername(fd, (struct sockaddr *)&sa, &len), 0);
    return (int)(ntohl(sa.sin_addr.s_addr) & 255) - 1;
}

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void first_success_wins(void **state)
{
    static const struct {
        const char *kinds;
        int want;
    } cases[] = {{"l", 0}, {"ll", 0}, {"rl", 1}, {"rrl", 2}, {"sl", 1}, {"ssl", 2}, {"srl", 2}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct peers p;
        struct dial d;
        struct err e = {0};
        int fd = -1, on = 0;
        socklen_t len = sizeof on;
        open_peers(&p, cases[i].kinds);
        int before = count_descriptors();
        start(&d, &p, clock_now_ms() + 20000);
        unit_true(cases[i].kinds, run(&d, &fd, &e) == IO_DONE);
        unit_true(cases[i].kinds, peer_of(fd) == cases[i].want);
        unit_true(cases[i].kinds, (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        unit_true(cases[i].kinds, (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len);
        unit_true(cases[i].kinds, on != 0);
        getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len);
        unit_true(cases[i].kinds, on != 0);
        /* The others were closed. */
        unit_true(cases[i].kinds, count_descriptors() == before + 1);
        close(fd);
        dial_cancel(&d);
        close_peers(&p);
    }
}

/* The second address has its turn after the head start, or at once when the first one fails. */
static void attempts_start_in_time(void **state)
{
    struct peers p;
    struct dial d;
    struct err e = {0};
    int fd = -1;

    (void)state;
    open_peers(&p, "ss");
    start(&d, &p, CLOCK_NEVER_MS);
    int64_t now = d.begun_ms;
    assert_int_equal(d.deadline_ms, now + DIAL_TIMEOUT_MS);
    assert_int_equal(dial_step(&d, now, &fd, &e), IO_WANT_WRITE);
    assert_int_equal(d.started, 1);
    assert_int_equal(dial_step(&d, now + DIAL_STAGGER_MS - 1, &fd, &e), IO_WANT_WRITE);
    assert_int_equal(d.started, 1);
    assert_int_equal(dial_step(&d, now + DIAL_STAGGER_MS, &fd, &e), IO_WANT_WRITE);
    assert_int_equal(d.started, 2);
    dial_cancel(&d);
    close_peers(&p);

    open_peers(&p, "rs");
    start(&d, &p, CLOCK_NEVER_MS);
    while (d.started < 2) { /* without any time passing for it */
        assert_int_equal(dial_step(&d, now, &fd, &e), IO_WANT_WRITE);
        if (d.started < 2)
            waker_wait(&waker);
    }
    dial_cancel(&d);
    close_peers(&p);
}

static void failures_tell_the_most(void **state)
{
    static const struct {
        const char *kinds, *want;
    } cases[] = {
        {"r", "Connection refused"},
        {"rr", "Connection refused"},
        {"s", "no answer within 1 s"},
        {"sr", "Connection refused"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct peers p;
        struct dial d;
        struct err e = {0};
        char want[128];
        int fd = -1, before;
        open_peers(&p, cases[i].kinds);
        before = count_descriptors();
        start(&d, &p, clock_now_ms() + 600);
        unit_true(cases[i].kinds, run(&d, &fd, &e) == IO_ERR);
        snprintf(want, sizeof want, "cannot connect to 127.0.0.1:%u: %s", p.port, cases[i].want);
        unit_equal(cases[i].kinds, e.msg, want);
        unit_true(cases[i].kinds, e.code == ERR_NETWORK && fd == -1);
        unit_true(cases[i].kinds, count_descriptors() == before);
        dial_cancel(&d);
        close_peers(&p);
    }
}

static void no_socket_to_be_had(void **state)
{
    struct peers p;
    struct dial d;
    struct rlimit before, few;
    struct err e = {0};
    int fd = -1;

    (void)state;
    open_peers(&p, "l");
    start(&d, &p, CLOCK_NEVER_MS);
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &few);
    enum io io = dial_step(&d, clock_now_ms(), &fd, &e);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(io, IO_ERR);
    assert_int_equal(e.code, ERR_FAILED);
    unit_true("names the cause", strstr(e.msg, "Too many open files") != NULL);
    dial_cancel(&d);
    close_peers(&p);
}

static void cancel_closes_everything(void **state)
{
    struct peers p;
    struct dial d, zeros = {0};
    struct err e = {0};
    int fd = -1;

    (void)state;
    open_peers(&p, "ss");
    int before = count_descriptors();
    start(&d, &p, CLOCK_NEVER_MS);
    dial_step(&d, d.begun_ms, &fd, &e);
    dial_step(&d, d.begun_ms + DIAL_STAGGER_MS, &fd, &e);
    assert_int_equal(count_descriptors(), before + 2);
    dial_cancel(&d);
    dial_cancel(&d);
    dial_cancel(&zeros);
    assert_int_equal(count_descriptors(), before);
    close_peers(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(first_success_wins),       WAKER_TEST(attempts_start_in_time),
        WAKER_TEST(failures_tell_the_most),   WAKER_TEST(no_socket_to_be_had),
        WAKER_TEST(cancel_closes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
