/* Two streams in memory: as sockets behave, with limits, ends and resets as the test wants them. */
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/stream_memory.h"
#include "waker.h"

/* An owner of one end that counts how often it is woken. */
struct owner {
    unsigned wakes;
};

static void count_wake(void *owner)
{
    ((struct owner *)owner)->wakes++;
}

struct pair {
    struct loop_clock clock;
    struct loop *loop;
    struct stream *ends[2];
    struct owner owners[2];
};

static void open_pair(struct pair *p)
{
    struct err e = {0};

    *p = (struct pair){.loop = NULL};
    p->loop = loop_new(&p->clock, &e);
    assert_non_null(p->loop);
    const struct loop_wake wakes[2] = {{p->loop, count_wake, &p->owners[0]},
                                       {p->loop, count_wake, &p->owners[1]}};
    assert_int_equal(stream_memory_pair(p->ends, wakes, &e), 0);
}

static void close_pair(struct pair *p)
{
    stream_free(p->ends[0]);
    stream_free(p->ends[1]);
    unit_true("nothing is left in the loop", rounds_nothing_is_left(p->loop, &p->clock));
    loop_free(p->loop);
}

static void turn(const struct pair *p)
{
    rounds_run(p->loop, 1);
}

static void write_all(struct stream *s, const char *text)
{
    struct err e = {0};
    size_t n = 0;

    unit_true(text, stream_write(s, str_of(text), &n, &e) == IO_DONE && n == strlen(text));
}

static void reads(struct stream *s, const char *want)
{
    struct err e = {0};
    char data[64];
    size_t n = 0;

    unit_true(want, stream_read(s, data, sizeof data, &n, &e) == IO_DONE);
    unit_equal_str(want, ((struct str){data, n}), str_of(want));
}

static enum io read_one(struct stream *s, struct err *e)
{
    char byte;
    size_t n = 0;

    return stream_read(s, &byte, 1, &n, e);
}

static void bytes_go_both_ways(void **state)
{
    struct pair p;
    struct err e = {0};
    size_t n = 0;

    (void)state;
    open_pair(&p);
    assert_int_equal(read_one(p.ends[1], &e), IO_WANT_READ);
    assert_false(stream_has_input(p.ends[1]));
    assert_false(stream_is_stale(p.ends[1]));
    write_all(p.ends[0], "there");
    assert_int_equal(p.owners[1].wakes, 0); /* not from within a step */
    turn(&p);
    assert_int_equal(p.owners[1].wakes, 1);
    assert_int_equal(p.owners[0].wakes, 0);
    assert_true(stream_has_input(p.ends[1]));
    assert_true(stream_is_stale(p.ends[1]));
    assert_int_equal(stream_unacknowledged(p.ends[0]), 5);
    reads(p.ends[1], "there");
    assert_int_equal(stream_unacknowledged(p.ends[0]), 0);
    assert_int_equal(stream_write2(p.ends[1], STR("and "), STR("back"), &n, &e), IO_DONE);
    assert_int_equal(n, 8);
    reads(p.ends[0], "and back");
    assert_int_equal(stream_write_more(p.ends[1], STR("on"), &n, &e), IO_DONE);
    reads(p.ends[0], "on");
    close_pair(&p);
}

/* What nobody waits for wakes nobody, and does not keep the loop busy. */
static void only_what_is_wanted_wakes(void **state)
{
    struct pair p;
    struct err e = {0};

    (void)state;
    open_pair(&p);
    write_all(p.ends[0], "x");
    turn(&p);
    turn(&p);
    assert_int_equal(p.owners[1].wakes, 0);
    assert_true(rounds_nothing_is_left(p.loop, &p.clock));
    assert_int_equal(stream_expect(p.ends[1], &e), 0);
    turn(&p);
    turn(&p);
    assert_int_equal(p.owners[1].wakes, 1);
    stream_yield(p.ends[0]);
    turn(&p);
    assert_int_equal(p.owners[0].wakes, 1);
    close_pair(&p);
}

static void limits(void **state)
{
    static const struct {
        const char *name;
        struct stream_memory_limits writer, reader;
        const char *first, *second; /* what each of two reads gets of "abcdef" */
        size_t written;
    } cases[] = {{"none", {0}, {0}, "abcdef", NULL, 6},
                 {"byte by byte in", {0}, {.read_bytes = 1}, "a", "b", 6},
                 {"byte by byte out", {.write_bytes = 1}, {0}, "a", NULL, 1},
                 {"a narrow line", {0}, {.capacity = 4}, "abcd", NULL, 4},
                 {"all", {.write_bytes = 3}, {.read_bytes = 2, .capacity = 5}, "ab", "c", 3}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct pair p;
        struct err e = {0};
        size_t n = 0;
        open_pair(&p);
        stream_memory_limit(p.ends[0], &cases[i].writer);
        stream_memory_limit(p.ends[1], &cases[i].reader);
        unit_true(cases[i].name,
                  stream_write2(p.ends[0], STR("ab"), STR("cdef"), &n, &e) == IO_DONE);
        unit_true(cases[i].name, n == cases[i].written);
        reads(p.ends[1], cases[i].first);
        if (cases[i].second != NULL)
            reads(p.ends[1], cases[i].second);
        close_pair(&p);
    }
}

static void a_full_line_wants_to_wait(void **state)
{
    struct pair p;
    struct err e = {0};
    size_t n = 0;

    (void)state;
    open_pair(&p);
    stream_memory_limit(p.ends[1], &(struct stream_memory_limits){.capacity = 2});
    write_all(p.ends[0], "ab");
    assert_int_equal(stream_write(p.ends[0], STR("c"), &n, &e), IO_WANT_WRITE);
    turn(&p);
    turn(&p);
    assert_int_equal(p.owners[0].wakes, 0);
    reads(p.ends[1], "ab");
    turn(&p);
    assert_int_equal(p.owners[0].wakes, 1);
    write_all(p.ends[0], "c");
    /* A wider line is room, too. */
    assert_int_equal(stream_write(p.ends[0], STR("de"), &n, &e), IO_DONE);
    assert_int_equal(n, 1);
    assert_int_equal(stream_write(p.ends[0], STR("e"), &n, &e), IO_WANT_WRITE);
    stream_memory_limit(p.ends[1], &(struct stream_memory_limits){0});
    turn(&p);
    assert_int_equal(p.owners[0].wakes, 2);
    close_pair(&p);
}

static void an_end_comes_behind_what_was_sent(void **state)
{
    struct pair p;
    struct err e = {0};
    size_t n = 0;

    (void)state;
    open_pair(&p);
    write_all(p.ends[0], "bye");
    stream_end(p.ends[0]);
    assert_int_equal(stream_write(p.ends[0], STR("x"), &n, &e), IO_ERR);
    unit_equal("own end", e.msg, "cannot send: Broken pipe");
    assert_true(stream_has_input(p.ends[1]));
    reads(p.ends[1], "bye");
    assert_int_equal(read_one(p.ends[1], &e), IO_EOF);
    assert_true(stream_is_stale(p.ends[1]));
    /* The other direction is open. */
    write_all(p.ends[1], "wait");
    reads(p.ends[0], "wait");
    close_pair(&p);
}

static void a_reset_loses_what_was_sent(void **state)
{
    struct pair p;
    struct err e = {0};
    size_t n = 0;

    (void)state;
    open_pair(&p);
    assert_int_equal(read_one(p.ends[0], &e), IO_WANT_READ);
    write_all(p.ends[0], "lost");
    stream_memory_reset(p.ends[0]);
    turn(&p);
    assert_int_equal(p.owners[0].wakes, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read_one(p.ends[i], &e), IO_ERR);
        assert_int_equal(e.code, ERR_NETWORK);
        unit_equal("read", e.msg, "cannot receive: Connection reset by peer");
        assert_int_equal(stream_write(p.ends[i], STR("x"), &n, &e), IO_ERR);
        unit_equal("write", e.msg, "cannot send: Connection reset by peer");
        assert_true(stream_is_stale(p.ends[i]));
    }
    close_pair(&p);
}

/* As sockets: an end that is closed before it read everything resets the connection. */
static void what_closing_does(void **state)
{
    static const struct {
        const char *name;
        bool is_unread, ends_before, drops;
        enum io want;
    } cases[] = {{"all was read", false, false, false, IO_EOF},
                 {"something is unread", true, false, false, IO_ERR},
                 {"ended before, what is unread is dropped", true, true, false, IO_EOF},
                 {"given up", false, false, true, IO_ERR}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct pair p;
        struct err e = {0};
        size_t n;
        open_pair(&p);
        if (cases[i].is_unread)
            write_all(p.ends[0], "unread");
        if (cases[i].ends_before)
            stream_end(p.ends[1]);
        if (cases[i].drops)
            stream_drop_unsent(p.ends[1]);
        unit_true(cases[i].name, cases[i].ends_before || read_one(p.ends[0], &e) == IO_WANT_READ);
        stream_free(p.ends[1]);
        p.ends[1] = NULL;
        turn(&p);
        unit_true(cases[i].name, cases[i].ends_before || p.owners[0].wakes == 1);
        unit_true(cases[i].name, read_one(p.ends[0], &e) == cases[i].want);
        unit_true(cases[i].name, stream_write(p.ends[0], STR("x"), &n, &e) == IO_ERR);
        close_pair(&p);
    }
}

/* A loss is told to an owner that waits for nothing, until it frees the stream; not to others. */
static void losses(void **state)
{
    struct pair p;
    struct err e = {0};

    (void)state;
    open_pair(&p);
    assert_int_equal(stream_expect_loss(p.ends[1], &e), 0);
    stream_end(p.ends[0]);
    turn(&p);
    assert_int_equal(p.owners[1].wakes, 0); /* half of it is open */
    assert_false(stream_is_lost(p.ends[1]));
    stream_memory_reset(p.ends[0]);
    turn(&p);
    turn(&p);
    assert_true(p.owners[1].wakes >= 2);
    assert_true(stream_is_lost(p.ends[1]));
    assert_int_equal(p.owners[0].wakes, 0);
    const struct loop_wake next = {p.loop, count_wake, &p.owners[0]};
    stream_set_wake(p.ends[1], &next);
    turn(&p);
    assert_int_equal(p.owners[0].wakes, 0);
    close_pair(&p);
}

static void files_go_by_way_of_memory(void **state)
{
    struct pair p;
    struct err e = {0};
    char path[] = "/tmp/stream-memory-XXXXXX";
    int fd = mkstemp(path);
    size_t n = 0;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    open_pair(&p);
    assert_int_equal(stream_send_file(p.ends[0], fd, 2, 5, &n, &e), IO_DONE);
    assert_int_equal(n, 5);
    reads(p.ends[1], "23456");
    assert_int_equal(stream_send_file(p.ends[0], fd, 10, 5, &n, &e), IO_EOF);
    stream_memory_limit(p.ends[1], &(struct stream_memory_limits){.capacity = 1});
    assert_int_equal(stream_send_file(p.ends[0], fd, 7, 3, &n, &e), IO_DONE);
    assert_int_equal(n, 1);
    assert_int_equal(stream_send_file(p.ends[0], fd, 8, 2, &n, &e), IO_WANT_WRITE);
    close(fd);
    stream_memory_reset(p.ends[0]);
    assert_int_equal(stream_send_file(p.ends[0], fd, 8, 2, &n, &e), IO_ERR);
    assert_int_equal(e.code, ERR_FAILED); /* no such descriptor */
    close_pair(&p);
}

static void there_is_no_descriptor(void **state)
{
    struct pair p;
    struct addr peer;

    (void)state;
    open_pair(&p);
    assert_false(stream_has_fd(p.ends[0]));
    assert_int_equal(stream_take_fd(p.ends[0]), -1);
    assert_false(stream_peer(p.ends[0], &peer));
    assert_true(addr_parse_literal(STR("192.0.2.7"), 443, &peer));
    stream_memory_set_peer(p.ends[0], &peer);
    peer = (struct addr){0};
    assert_true(stream_peer(p.ends[0], &peer));
    assert_int_equal(addr_port(&peer), 443);
    write_all(p.ends[0], "still there");
    reads(p.ends[1], "still there");
    close_pair(&p);
}

/* What the owner before waited for is not the next one's, also in another loop. */
static void another_owner(void **state)
{
    struct pair p;
    struct err e = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct owner other = {0};
        struct loop *loop;
        open_pair(&p);
        loop = i == 0 ? p.loop : loop_new(NULL, &e);
        const struct loop_wake wake = {loop, count_wake, &other};
        assert_int_equal(read_one(p.ends[1], &e), IO_WANT_READ);
        stream_yield(p.ends[1]);
        write_all(p.ends[0], "x");
        stream_set_wake(p.ends[1], &wake);
        turn(&p);
        rounds_run(loop, 1);
        assert_int_equal(p.owners[1].wakes, 0);
        assert_int_equal(other.wakes, 0);
        assert_int_equal(stream_expect(p.ends[1], &e), 0);
        rounds_run(loop, 1);
        assert_int_equal(other.wakes, 1);
        stream_free(p.ends[1]);
        p.ends[1] = NULL;
        if (i == 1)
            loop_free(loop);
        close_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(only_what_is_wanted_wakes),
        cmocka_unit_test(limits),
        cmocka_unit_test(a_full_line_wants_to_wait),
        cmocka_unit_test(an_end_comes_behind_what_was_sent),
        cmocka_unit_test(a_reset_loses_what_was_sent),
        cmocka_unit_test(what_closing_does),
        cmocka_unit_test(losses),
        cmocka_unit_test(files_go_by_way_of_memory),
        cmocka_unit_test(there_is_no_descriptor),
        cmocka_unit_test(another_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
