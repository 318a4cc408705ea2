/*
 * Lookups with scripted workers and a clock of our own. What a worker does with a hash depends on
 * the hash's first digits: see `behave`.
 */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/lookups.h"
#include "daemon/reason.h"
#include "proc/frame.h"

enum { SLOW_MS = 250, LOST_MS = 5000, WAIT_MS = 20000 };

struct bench {
    struct lookups *l;
    int gate[2]; /* a worker that gets a "d…" reads one byte here first */
    struct buf heard;
    size_t count;
    uint64_t next_id;
};

static void wait_at_gate(int fd)
{
    char byte;

    if (read(fd, &byte, 1) != 1)
        _exit(1);
}

/* a: absent, b: found, c: a reason, d: waits at the gate, then found, e: the worker ends,
 * f: nonsense */
static void behave(char kind, int gate, struct buf *out)
{
    if (kind == 'e')
        _exit(3);
    if (kind == 'd')
        wait_at_gate(gate);
    if (kind == 'a')
        json_put_null(out, NULL);
    else if (kind == 'c')
        json_put_str(out, NULL, STR("a reason"));
    else if (kind == 'f')
        json_put_bool(out, NULL, true);
    else
        json_put_int(out, NULL, 7);
}

/* One frame per answer, so that it is known what it is at. */
static int work(int fd, void *ctx)
{
    const struct bench *b = ctx;
    struct buf in = {0}, out = {0};

    while (frame_receive(fd, &in, NULL, NULL) == IO_DONE) {
        struct json *message = json_parse(buf_str(&in), JSON_STRICT, NULL);
        struct str hash;
        int64_t first;
        if (!json_int(json_get(message, "first"), &first))
            return 1;
        for (const struct json *v = json_first(json_get(message, "hashes")); v != NULL;
             v = json_next(v)) {
            buf_clear(&out);
            json_open(&out, '{');
            json_put_int(&out, "first", first++);
            json_open_member(&out, "found", '[');
            if (!json_str(v, &hash) || hash.len != SHA1_HEX)
                return 1;
            behave(hash.p[0], b->gate[0], &out);
            json_close(&out, ']');
            json_close(&out, '}');
            if (frame_send(fd, buf_str(&out), -1, NULL) != IO_DONE)
                return 0;
        }
        json_free(message);
    }
    return 0;
}

static void on_found(void *owner, uint64_t id, int64_t size)
{
    struct bench *b = owner;

    buf_printf(&b->heard, "%d:%d ", (int)id, (int)size);
    b->count++;
}

static void on_absent(void *owner, uint64_t id, const char *hash, const char *note)
{
    struct bench *b = owner;

    (void)hash;
    buf_printf(&b->heard, note == NULL ? "%d:absent " : "%d:absent(%s) ", (int)id, note);
    b->count++;
}

static void on_failed(void *owner, uint64_t id, const char *hash, const char *reason)
{
    struct bench *b = owner;

    assert_int_equal(strlen(hash), SHA1_HEX);
    buf_printf(&b->heard, "%d:%s ", (int)id, reason);
    b->count++;
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    if (pipe(b->gate) != 0)
        return 1;
    b->l = lookups_new(&(struct lookups_options){
        .process = {.name = "test-lookup", .run = work, .ctx = b, .keep_fds = b->gate,
                    .keep_count = 1},
        .slow_ms = SLOW_MS,
        .lost_ms = LOST_MS,
        .on_found = on_found,
        .on_absent = on_absent,
        .on_failed = on_failed,
        .owner = b,
    });
    *state = b;
    return b->l == NULL;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    lookups_free(b->l);
    close(b->gate[0]);
    close(b->gate[1]);
    buf_free(&b->heard);
    free(b);
    return 0;
}

/* Adds one lookup a letter; ids count from 1. */
static void add(struct bench *b, const char *kinds, int64_t now_ms)
{
    char hash[SHA1_HEX + 1];

    for (; *kinds != '\0'; kinds++) {
        memset(hash, *kinds, SHA1_HEX);
        hash[SHA1_HEX] = '\0';
        assert_int_equal(lookups_add(b->l, ++b->next_id, hash, now_ms, NULL), 0);
    }
}

static void step(struct bench *b, int64_t now_ms)
{
    lookups_step(b->l, now_ms);
    lookups_send(b->l, now_ms);
}

/* Steps until `count` answers were heard in all. The clock stands, unless there is nothing to wait
 * for but time. */
static void hear(struct bench *b, size_t count, int64_t now_ms)
{
    struct pollset set = {0};

    step(b, now_ms);
    while (b->count < count) {
        pollset_clear(&set);
        lookups_poll(b->l, &set);
        if (set.count == 0)
            now_ms = set.deadline_ms;
        else
            assert_true(poll(set.fds, (nfds_t)set.count, WAIT_MS) > 0);
        step(b, now_ms);
    }
    pollset_free(&set);
}

static void expect(struct bench *b, const char *name, const char *want)
{
    unit_equal(name, buf_cstr(&b->heard), want);
    buf_clear(&b->heard);
}

/* When the set would wake. */
static int64_t wakes_at(const struct bench *b)
{
    struct pollset set = {0};

    lookups_poll(b->l, &set);
    int64_t at = set.has_deadline ? set.deadline_ms : -1;
    pollset_free(&set);
    return at;
}

static void open_gate(struct bench *b)
{
    assert_int_equal(write(b->gate[1], "x", 1), 1);
}

static void test_answers(void **state)
{
    struct bench *b = *state;

    assert_int_equal(wakes_at(b), -1);
    add(b, "abc", 0);
    hear(b, 3, 0);
    expect(b, "each kind", "1:absent 2:7 3:a reason ");
    assert_int_equal(wakes_at(b), -1);
}

static void test_more_than_a_window(void **state)
{
    struct bench *b = *state;

    for (int i = 0; i < 3 * LOOKUPS_WINDOW + 5; i++)
        add(b, "a", 0);
    hear(b, 3 * LOOKUPS_WINDOW + 5, 0);
    assert_non_null(strstr(buf_cstr(&b->heard), " 64:absent 65:absent "));
    assert_non_null(strstr(buf_cstr(&b->heard), " 773:absent "));
}

/* Others go on after slow_ms; the slow one is answered when storage comes back. */
static void test_slow_storage_stops_nobody_else(void **state)
{
    struct bench *b = *state;

    add(b, "daab", 0);
    hear(b, 0, 0);
    assert_int_equal(wakes_at(b), SLOW_MS);
    hear(b, 0, SLOW_MS - 1);
    expect(b, "not yet", "");
    hear(b, 3, SLOW_MS);
    expect(b, "the others", "2:absent 3:absent 4:7 ");
    assert_int_equal(wakes_at(b), LOST_MS);
    open_gate(b);
    hear(b, 4, SLOW_MS + 1);
    expect(b, "in the end", "1:7 ");
    add(b, "a", SLOW_MS + 2);
    hear(b, 5, SLOW_MS + 2);
    expect(b, "goes on", "5:absent ");
}

static void test_silence_is_an_error(void **state)
{
    struct bench *b = *state;

    add(b, "d", 0);
    hear(b, 0, 0);
    hear(b, 0, SLOW_MS);
    hear(b, 0, LOST_MS - 1);
    expect(b, "not yet", "");
    hear(b, 1, LOST_MS);
    expect(b, "told", "1:" REASON_SILENT " ");
    add(b, "b", LOST_MS);
    hear(b, 2, LOST_MS);
    expect(b, "a new worker", "2:7 ");
}

/* Five files on dead storage take all places; then others wait, and are told after lost_ms. */
static void test_at_most_four_are_left(void **state)
{
    struct bench *b = *state;
    int64_t now_ms = 0;

    add(b, "ddddd", 0);
    hear(b, 0, 0);
    for (int i = 1; i <= LOOKUPS_MAX_SLOW; i++)
        hear(b, 0, now_ms = i * SLOW_MS);
    add(b, "b", now_ms);
    hear(b, 0, now_ms);
    hear(b, 0, LOST_MS - 1);
    expect(b, "nobody told", "");
    hear(b, 1, LOST_MS);
    expect(b, "the first", "1:" REASON_SILENT " ");
    /* The first one's worker was killed: its place serves the file that is there. */
    hear(b, 5, now_ms + LOST_MS);
    assert_non_null(strstr(buf_cstr(&b->heard), "5:" REASON_SILENT));
    hear(b, 6, now_ms + LOST_MS);
    assert_non_null(strstr(buf_cstr(&b->heard), "6:"));
}

/* A crash is tried once more, then told; those behind it do not suffer. */
static void test_crash(void **state)
{
    struct bench *b = *state;

    add(b, "aeb", 0);
    hear(b, 3, 0);
    expect(b, "crash", "1:absent 2:" REASON_CRASHED " 3:7 ");
}

static void test_nonsense_is_a_crash(void **state)
{
    struct bench *b = *state;

    add(b, "fb", 0);
    hear(b, 2, 0);
    expect(b, "nonsense", "1:" REASON_CRASHED " 2:7 ");
}

static int refuse_to_run(int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
    return 1;
}

static void test_workers_that_cannot_start(void **state)
{
    struct bench *b = *state;
    struct lookups_options options = {.process = {.name = "test-dead", .run = refuse_to_run},
                                      .slow_ms = SLOW_MS, .lost_ms = LOST_MS,
                                      .on_failed = on_failed, .owner = b};

    lookups_free(b->l);
    b->l = lookups_new(&options);
    add(b, "ab", 0);
    hear(b, 2, 0);
    expect(b, "told", "1:" REASON_CRASHED " 2:" REASON_CRASHED " ");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_answers),
        CASE(test_more_than_a_window),
        CASE(test_slow_storage_stops_nobody_else),
        CASE(test_silence_is_an_error),
        CASE(test_at_most_four_are_left),
        CASE(test_crash),
        CASE(test_nonsense_is_a_crash),
        CASE(test_workers_that_cannot_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
