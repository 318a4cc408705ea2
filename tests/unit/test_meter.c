/* Sockets of a process whose sending is limited: the bytes that they may send, in turn. */
#include "unit.h"

#include <sys/socket.h>

#include "net/meter.h"
#include "net/stream.h"
#include "rounds.h"

enum { SOCKETS = 2 };

struct world {
    struct loop_clock clock;
    struct loop *loop;
    struct meter meter;
    unsigned asked;
    struct stream *streams[SOCKETS];
    int peers[SOCKETS];
    unsigned woken[SOCKETS];
};

static void note_asked(void *owner)
{
    ((struct world *)owner)->asked++;
}

static void note_woken(void *owner)
{
    ++*(unsigned *)owner;
}

static void open_world(struct world *w)
{
    *w = (struct world){.clock = {.jumps = true, .now_ms = 1000}};
    w->loop = loop_new(&w->clock, ERR_IGNORED);
    w->meter = (struct meter){.loop = w->loop, .on_empty = note_asked, .owner = w};
    meter_use(&w->meter);
    for (int n = 0; n < SOCKETS; n++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        w->peers[n] = pair[1];
        w->streams[n] = stream_new(
            pair[0], &(struct loop_wake){w->loop, note_woken, &w->woken[n]});
        assert_non_null(w->streams[n]);
    }
}

static void close_world(struct world *w)
{
    for (int n = 0; n < SOCKETS; n++) {
        stream_free(w->streams[n]);
        close(w->peers[n]);
    }
    assert_null(w->meter.first);
    meter_forget(&w->meter);
    loop_free(w->loop);
}

/* Returns how many of these bytes a socket took; 0: it waits. */
static size_t put(struct world *w, int which, const char *first, const char *second)
{
    struct err e = {0};
    size_t n = 0;
    enum io io = stream_write2(w->streams[which], str_of(first), str_of(second), &n, &e);

    unit_true(first, io == IO_DONE || io == IO_WANT_WRITE);
    return io == IO_DONE ? n : 0;
}

static void test_nothing_without_credit(void **state)
{
    struct world w;
    char got[32];

    (void)state;
    open_world(&w);
    assert_int_equal(put(&w, 0, "hello ", "world"), 0);
    assert_int_equal(put(&w, 0, "hello ", "world"), 0);
    assert_int_equal(w.asked, 1);
    stream_give_bytes(8);
    rounds_run(w.loop, 1);
    assert_int_equal(w.woken[0], 1);
    assert_int_equal(put(&w, 0, "hello ", "world"), 8);
    assert_int_equal(w.asked, 2); /* for what comes next, already */
    assert_int_equal(recv(w.peers[0], got, sizeof got, 0), 8);
    assert_memory_equal(got, "hello wo", 8);
    assert_int_equal(put(&w, 0, "rld", ""), 0);
    assert_int_equal(w.asked, 2);
    close_world(&w);
}

/* Bytes that come before they are needed are for the next that needs them. */
static void test_in_advance(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    assert_int_equal(put(&w, 0, "aaaa", ""), 0);
    stream_give_bytes(4);
    rounds_run(w.loop, 1);
    assert_int_equal(put(&w, 0, "aa", ""), 2);
    stream_give_bytes(3);
    assert_int_equal(put(&w, 0, "aaaaaaaa", ""), 2);
    assert_int_equal(put(&w, 0, "aaaaaaaa", ""), 3);
    assert_int_equal(w.asked, 3);
    stream_give_bytes(5);
    w.clock.now_ms += METER_STALE_MS + 1;
    rounds_run(w.loop, 1);
    assert_int_equal(put(&w, 0, "aaaaaaaa", ""), 0);
    close_world(&w);
}

/* All that wait get the same; who did not wait has nothing. */
static void test_shares(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    assert_int_equal(put(&w, 0, "aaaaaaaa", ""), 0);
    assert_int_equal(put(&w, 1, "bbbbbbbb", ""), 0);
    assert_int_equal(w.asked, 1);
    stream_give_bytes(7);
    rounds_run(w.loop, 1);
    assert_int_equal(put(&w, 0, "aaaaaaaa", ""), 3);
    assert_int_equal(put(&w, 0, "aaaaa", ""), 0);
    stream_give_bytes(100); /* for the first alone */
    assert_int_equal(put(&w, 1, "bbbbbbbb", ""), 4);
    assert_int_equal(put(&w, 1, "bbbb", ""), 0);
    rounds_run(w.loop, 1);
    assert_int_equal(put(&w, 0, "aaaaa", ""), 5);
    close_world(&w);
}

/* Bytes that were not sent soon may not be sent later. */
static void test_stale(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    assert_int_equal(put(&w, 0, "a", ""), 0);
    stream_give_bytes(100);
    rounds_run(w.loop, 1);
    assert_int_equal(put(&w, 0, "a", ""), 1);
    w.clock.now_ms += METER_STALE_MS + 1;
    rounds_run(w.loop, 1);
    assert_int_equal(put(&w, 0, "a", ""), 0);
    close_world(&w);
}

/* An answer that does not come is asked for again; one that is not to come is forgotten. */
static void test_no_answer(void **state)
{
    struct world w;

    (void)state;
    open_world(&w);
    assert_int_equal(put(&w, 0, "a", ""), 0);
    w.clock.now_ms += METER_AGAIN_MS;
    rounds_run(w.loop, 2);
    assert_int_equal(w.asked, 2);
    meter_forget(&w.meter);
    assert_int_equal(put(&w, 1, "b", ""), 0);
    assert_int_equal(w.asked, 3);
    w.meter.is_open = true;
    assert_int_equal(put(&w, 1, "bbb", ""), 3);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_without_credit),
        cmocka_unit_test(test_in_advance),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
