/*
 * Lookups with scripted workers and a clock of our own. What a worker does with a hash depends on
 * the hash's first digits: see `behave`.
 */
#include "rounds.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "daemon/lookup_worker.h"
#include "daemon/lookups.h"
#include "daemon/reason.h"
#include "proc/child.h"
#include "proc/frame.h"

enum { SLOW_MS = 250, LOST_MS = 5000, WAIT_MS = 20000 };

struct bench {
    struct loop_clock clock;
    struct loop *loop;
    struct loop_fd signals;
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
 * f: nonsense, 0: found, its size is the number of frames so far */
static void behave(char kind, int gate, int64_t frames, struct buf *out)
{
    if (kind == 'e')
        _exit(3);
    if (kind == 'd')
        wait_at_gate(gate);
    if (kind == 'a')
        json_put_null(out, NULL);
    else if (kind == 'c')
        json_put_str(out, NULL, STR("a reason"));
    else if (kind == '0')
        json_put_int(out, NULL, frames);
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
    int64_t frames = 0;

    while (frame_receive(fd, &in, NULL, ERR_IGNORED) == IO_DONE) {
        struct json *message = json_parse(buf_str(&in), JSON_STRICT, ERR_IGNORED);
        struct str hash;
        int64_t first;
        frames++;
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
            behave(hash.p[0], b->gate[0], frames, &out);
            json_close(&out, ']');
            json_close(&out, '}');
            if (frame_send(fd, buf_str(&out), -1, ERR_IGNORED) != IO_DONE)
                return 0;
        }
        json_free(message);
    }
    return 0;
}

static void on_found(void *owner, uint64_t id, int64_t size, struct str path)
{
    assert_int_equal(path.len, 0);
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

static void on_signal(void *owner)
{
    struct bench *b = owner;

    while (process_next_signal(b->signals.fd) != 0)
        process_reap(NULL, NULL);
}

static int set_up(void **state)
{
    static const int numbers[] = {SIGCHLD};
    struct bench *b = calloc(1, sizeof *b);

    if (pipe(b->gate) != 0)
        return 1;
    b->clock.jumps = true;
    b->loop = loop_new(&b->clock, ERR_IGNORED);
    b->signals = (struct loop_fd){
        .fd = process_signal_fd(numbers, 1, ERR_IGNORED), .call = on_signal, .owner = b};
    if (b->loop == NULL || loop_add(b->loop, &b->signals, LOOP_READ, ERR_IGNORED) != 0)
        return 1;
    b->l = lookups_new(&(struct lookups_options){
        .loop = b->loop,
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
    loop_remove(b->loop, &b->signals);
    unit_true("nothing is left", rounds_nothing_is_left(b->loop, &b->clock));
    loop_free(b->loop);
    close(b->signals.fd);
    close(b->gate[0]);
    close(b->gate[1]);
    buf_free(&b->heard);
    free(b);
    return unit_wait_for_children(state);
}

static void step(struct bench *b, int64_t now_ms)
{
    b->clock.now_ms = now_ms;
    rounds_run(b->loop, 1);
}

/* Adds one lookup a letter; ids count from 1. */
static void add(struct bench *b, const char *kinds, int64_t now_ms)
{
    char hash[SHA1_HEX + 1];

    step(b, now_ms);
    for (; *kinds != '\0'; kinds++) {
        memset(hash, *kinds, SHA1_HEX);
        hash[SHA1_HEX] = '\0';
        assert_int_equal(lookups_add(b->l, ++b->next_id, hash, ERR_IGNORED), 0);
    }
}

static bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Rounds until `count` answers were heard in all, and what they bring with them. The clock stands,
 * unless there is nothing to wait for but time. */
static void hear(struct bench *b, size_t count, int64_t now_ms)
{
    int64_t end_ms = clock_now_ms() + WAIT_MS;

    b->clock.now_ms = now_ms;
    rounds_run(b->loop, 3);
    while (b->count < count) {
        assert_true(clock_now_ms() < end_ms);
        if (!has_children())
            assert_false(rounds_jump_a_year(b->loop, &b->clock));
        else
            poll(NULL, 0, 1); /* a worker is at it */
        rounds_run(b->loop, 3);
    }
}

static void expect(struct bench *b, const char *name, const char *want)
{
    unit_equal(name, buf_cstr(&b->heard), want);
    buf_clear(&b->heard);
}

/* The next time at which there is something to do, whatever the workers do, has come. */
static int64_t jump(struct bench *b)
{
    assert_false(rounds_jump_a_year(b->loop, &b->clock));
    return b->clock.now_ms;
}

static void open_gate(struct bench *b)
{
    assert_int_equal(write(b->gate[1], "x", 1), 1);
}

static void test_answers(void **state)
{
    struct bench *b = *state;

    assert_true(rounds_nothing_is_left(b->loop, &b->clock));
    add(b, "abc", 0);
    hear(b, 3, 0);
    expect(b, "each kind", "1:absent 2:7 3:a reason ");
    assert_true(rounds_nothing_is_left(b->loop, &b->clock));
}

/* What one round brings goes out together. */
static void test_frames_of_a_round(void **state)
{
    struct bench *b = *state;
    char many[LOOKUPS_BATCH + 2] = "";

    add(b, "000", 0);
    hear(b, 3, 0);
    expect(b, "one frame", "1:1 2:1 3:1 ");
    memset(many, '0', LOOKUPS_BATCH + 1);
    add(b, many, 0);
    hear(b, 3 + LOOKUPS_BATCH + 1, 0);
    assert_non_null(strstr(buf_cstr(&b->heard), "4:2 5:2 "));
    assert_non_null(strstr(buf_cstr(&b->heard), " 67:2 68:3 "));
}

static void test_results(void **state)
{
    static const struct {
        struct lookup_result result;
        const char *json;
    } cases[] = {
        {{.is_found = true, .size = 7}, "7"},
        {{.is_found = false}, "null"},
        {{.reason = "dead"}, "\"dead\""},
        {{.note = "no copy"}, "[\"no copy\"]"},
    };
    static const char *const bad[] = {"true", "{}", "[]", "[7]", "1.5", "[null]"};
    struct lookup_result got;
    struct buf text = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        buf_clear(&text);
        lookup_result_put(&text, &cases[i].result);
        unit_equal(cases[i].json, buf_cstr(&text), cases[i].json);
        struct json *value = json_parse(buf_str(&text), JSON_STRICT, ERR_IGNORED);
        unit_true(cases[i].json, lookup_result_read(&got, value));
        unit_true(cases[i].json, got.is_found == cases[i].result.is_found);
        unit_true(cases[i].json, got.size == cases[i].result.size);
        unit_equal("reason", got.reason ? got.reason : "-",
                   cases[i].result.reason ? cases[i].result.reason : "-");
        unit_equal("note", got.note ? got.note : "-",
                   cases[i].result.note ? cases[i].result.note : "-");
        json_free(value);
    }
    for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
        struct json *value = json_parse(str_of(bad[i]), JSON_STRICT, ERR_IGNORED);
        unit_true(bad[i], value != NULL && !lookup_result_read(&got, value));
        json_free(value);
    }
    buf_free(&text);
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
    hear(b, 0, SLOW_MS - 1);
    expect(b, "not yet", "");
    assert_int_equal(jump(b), SLOW_MS);
    hear(b, 3, SLOW_MS);
    expect(b, "the others", "2:absent 3:absent 4:7 ");
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
    assert_int_equal(jump(b), LOST_MS);
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
    assert_ptr_equal(strstr(buf_cstr(&b->heard), "1:" REASON_SILENT " "), buf_cstr(&b->heard));
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
    struct lookups_options options = {.loop = b->loop,
                                      .process = {.name = "test-dead", .run = refuse_to_run},
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
        CASE(test_frames_of_a_round),
        cmocka_unit_test(test_results),
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
