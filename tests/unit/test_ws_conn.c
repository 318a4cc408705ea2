/* An open WebSocket in both roles: frames in every split, violations, pings, back-pressure both
 * ways, every kind of end. The other side is a raw socket (the wire), or a second connection. The
 * clock jumps: no test waits. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/ws_conn.h"
#include "net/stream_memory.h"
#include "rounds.h"
#include "unit.h"

enum { PATIENCE_MS = 3600000, PING_MS = 20000, DEAD_MS = 60000, ROUNDS = 20000000 };

static const enum ws_role roles[] = {WS_CLIENT, WS_SERVER};
static const unsigned char mask[4] = {1, 2, 3, 4};

static char block[1 << 20];

struct world;

struct end {
    struct world *world;
    struct ws_conn *conn;
    struct buf messages; /* "text:… binary:… " */
    struct buf pongs;
    bool echoes, frees, pauses, is_closed, is_failure;
    unsigned code, drained;
    size_t count;
    char reason[128];
    struct err why;
};

struct world {
    struct loop *loop;
    struct loop_clock clock;
    struct end end, other; /* `other` when there is no wire */
    struct loop_fd wire;
    struct loop_timer patience, feeder;
    struct ws_reader reader; /* of the wire */
    struct buf heard;        /* by the wire: "text:… ping:… close:code:reason " */
    struct buf raw;
    struct str to_send;
    size_t piece;
    bool is_late, is_wire_over;
};

static void put_message(struct buf *out, enum ws_opcode kind, struct str message)
{
    buf_printf(out, "%s:%.*s ", kind == WS_TEXT ? "text" : "binary",
               STR_ARG(str_slice(message, 0, message.len < 20 ? message.len : 20)));
}

static void free_end(struct end *end)
{
    ws_conn_free(end->conn);
    end->conn = NULL;
}

static void on_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct end *end = owner;
    struct err e = {0};

    put_message(&end->messages, kind, message);
    end->count++;
    if (end->echoes)
        assert_int_equal(ws_conn_send(end->conn, kind, message, &e), 0);
    if (end->pauses)
        ws_conn_pause(end->conn);
    if (end->frees)
        free_end(end);
}

static void on_pong(void *owner, struct str payload)
{
    struct end *end = owner;

    buf_put(&end->pongs, payload);
    if (end->frees)
        free_end(end);
}

static void on_drained(void *owner)
{
    struct end *end = owner;

    end->drained++;
    if (end->frees)
        free_end(end);
}

static void on_closed(void *owner, const struct ws_end *how)
{
    struct end *end = owner;

    assert_false(end->is_closed);
    end->conn = NULL;
    end->is_closed = true;
    end->is_failure = how->is_failure;
    end->code = how->code;
    snprintf(end->reason, sizeof end->reason, "%.*s", STR_ARG(how->reason));
    end->why = how->why;
    unit_true("there are words", how->why.msg[0] != '\0');
}

static void note(struct world *w, const struct ws_event *event)
{
    switch (event->opcode) {
    case WS_PING: buf_printf(&w->heard, "ping:%.*s ", STR_ARG(event->payload)); break;
    case WS_PONG: buf_printf(&w->heard, "pong:%.*s ", STR_ARG(event->payload)); break;
    case WS_CLOSE: buf_printf(&w->heard, "close:%u ", event->close_code); break;
    default: put_message(&w->heard, event->opcode, event->payload);
    }
}

static void on_wire(void *owner)
{
    struct world *w = owner;
    char data[65536];
    ssize_t n = read(w->wire.fd, data, sizeof data);
    struct str input = {data, n > 0 ? (size_t)n : 0};
    struct ws_event event;
    struct err e = {0};
    unsigned code;
    size_t used;

    if (n <= 0) {
        loop_remove(w->loop, &w->wire);
        w->is_wire_over = true;
        return;
    }
    if (w->raw.len < 1000)
        buf_put(&w->raw, input);
    while (ws_frame_read(&w->reader, input, &used, &event, &code, &e) == IO_DONE) {
        input = str_slice(input, used, input.len);
        note(w, &event);
    }
    unit_equal("the wire reads frames", e.msg, "");
}

/* One piece a round. */
static void on_feed(void *owner)
{
    struct world *w = owner;
    struct str part = str_slice(w->to_send, 0, w->piece);
    ssize_t n = send(w->wire.fd, part.p, part.len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN)
        return;
    w->to_send = str_slice(w->to_send, n > 0 ? (size_t)n : 0, w->to_send.len);
    if (w->to_send.len > 0)
        loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop) + (n < 0));
}

static void on_patience(void *owner)
{
    ((struct world *)owner)->is_late = true;
}

static struct ws_conn *make_conn(struct end *end, struct stream *stream,
                                 struct ws_conn_options options, struct str early)
{
    struct err e = {0};

    assert_non_null(stream);
    options.loop = end->world->loop;
    options.on_message = on_message;
    options.on_pong = on_pong;
    options.on_drained = on_drained;
    options.on_closed = on_closed;
    options.owner = end;
    struct ws_conn *conn = ws_conn_new(&options, stream, STR(""), early, &e);
    assert_non_null(conn);
    return conn;
}

static void open_loop(struct world *w)
{
    struct err e = {0};

    w->clock = (struct loop_clock){.jumps = true, .now_ms = 1000000};
    w->loop = loop_new(&w->clock, &e);
    assert_non_null(w->loop);
    w->end.world = w->other.world = w;
    w->feeder = (struct loop_timer){.call = on_feed, .owner = w};
    w->patience = (struct loop_timer){.call = on_patience, .owner = w};
}

/* A connection and a wire, which hears all. */
static void open_world(struct world *w, struct ws_conn_options options, struct str early)
{
    struct err e = {0};
    int pair[2];

    open_loop(w);
    const struct loop_wake wake = {w->loop, NULL, NULL};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    w->wire = (struct loop_fd){.fd = pair[0], .call = on_wire, .owner = w};
    ws_reader_init(&w->reader, options.role == WS_CLIENT ? WS_SERVER : WS_CLIENT, 32 << 20);
    assert_int_equal(loop_add(w->loop, &w->wire, LOOP_READ, &e), 0);
    w->end.conn = make_conn(&w->end, stream_new(pair[1], &wake), options, early);
}

static void set_deaf(struct world *w, bool is_deaf)
{
    loop_change(w->loop, &w->wire, is_deaf ? 0 : LOOP_READ);
}

static void wire_sends(struct world *w, struct str bytes, size_t piece)
{
    w->to_send = bytes;
    w->piece = piece;
    loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop));
}

/* Runs until the claim is true. */
static void run(struct world *w, const char *name, bool (*is_true)(void *owner))
{
    struct err e = {0};

    w->is_late = false;
    loop_set_timer(w->loop, &w->patience, loop_now_ms(w->loop) + PATIENCE_MS);
    assert_int_equal(loop_run_until(w->loop, is_true, w, &e), 0);
    loop_clear_timer(w->loop, &w->patience);
    unit_true(name, !w->is_late);
}

static bool is_at_time(void *owner)
{
    return ((struct world *)owner)->is_late;
}

/* Lets the time pass. */
static void pass(struct world *w, int64_t ms)
{
    struct err e = {0};

    w->is_late = false;
    loop_set_timer(w->loop, &w->patience, loop_now_ms(w->loop) + ms);
    assert_int_equal(loop_run_until(w->loop, is_at_time, w, &e), 0);
}

static bool is_closed(void *owner)
{
    const struct world *w = owner;

    return w->is_late || w->end.is_closed;
}

static bool is_wire_over(void *owner)
{
    const struct world *w = owner;

    return w->is_late || w->is_wire_over;
}

static bool is_all_over(void *owner)
{
    const struct world *w = owner;

    return w->is_late || (w->is_wire_over && w->end.is_closed);
}

static void close_world(struct world *w)
{
    free_end(&w->end);
    free_end(&w->other);
    if (w->wire.call != NULL) {
        loop_remove(w->loop, &w->wire);
        close(w->wire.fd);
        ws_reader_deinit(&w->reader);
    }
    loop_clear_timer(w->loop, &w->feeder);
    loop_clear_timer(w->loop, &w->patience);
    unit_true("nothing is left in the loop", rounds_nothing_is_left(w->loop, &w->clock));
    loop_free(w->loop);
    buf_free(&w->end.messages);
    buf_free(&w->end.pongs);
    buf_free(&w->other.messages);
    buf_free(&w->other.pongs);
    buf_free(&w->heard);
    buf_free(&w->raw);
}

/* The mask of what the wire says to a connection of that role. */
static const unsigned char *mask_to(enum ws_role role)
{
    return role == WS_SERVER ? mask : NULL;
}

/* ---- frames in every split ---- */

static void put_talk(struct buf *out, const unsigned char *m)
{
    ws_frame_put(out, WS_TEXT, STR("one"), m);
    ws_frame_put(out, WS_PING, STR("p"), m);
    ws_frame_put_fragment(out, WS_BINARY, false, STR("t"), m);
    ws_frame_put(out, WS_PONG, STR("q"), m);
    ws_frame_put_fragment(out, WS_CONTINUATION, true, STR("wo"), m);
    ws_frame_put_close(out, WS_CLOSE_NORMAL, STR("bye"), m);
    ws_frame_put(out, WS_TEXT, STR("behind"), m);
}

static void check_talk(enum ws_role role, struct str text, size_t early, size_t piece)
{
    struct world w = {.end.echoes = true};

    open_world(&w, (struct ws_conn_options){.role = role}, str_slice(text, 0, early));
    wire_sends(&w, str_slice(text, early, text.len), piece);
    run(&w, "talk", is_all_over);
    unit_equal("messages", buf_cstr(&w.end.messages), "text:one binary:two ");
    unit_equal("pong", buf_cstr(&w.end.pongs), "q");
    unit_equal("heard", buf_cstr(&w.heard), "text:one pong:p binary:two close:1000 ");
    assert_false(w.end.is_failure);
    assert_int_equal(w.end.code, WS_CLOSE_NORMAL);
    unit_equal("reason", w.end.reason, "bye");
    unit_equal("words", w.end.why.msg, "closed by the other side: 1000 \"bye\"");
    close_world(&w);
}

static void talks_in_every_split(void **state)
{
    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        struct buf text = {0};
        put_talk(&text, mask_to(roles[r]));
        for (size_t i = 1; i <= text.len; i++) {
            check_talk(roles[r], buf_str(&text), 0, i);
            check_talk(roles[r], buf_str(&text), i, text.len);
        }
        check_talk(roles[r], buf_str(&text), text.len, 1);
        buf_free(&text);
    }
}

/* ---- violations of RFC 6455 ---- */

static const struct bad_case {
    const char *name;
    unsigned first;      /* FIN, reserved bits, opcode */
    struct str payload;  /* of a frame that is masked as it should be, but for `is_wrong_mask` */
    size_t length_bytes; /* 0: as short as it can be */
    uint64_t claimed;    /* instead of the payload's length */
    bool is_wrong_mask, is_inside; /* behind the first half of a text */
    unsigned code;
} bad_cases[] = {
    {.name = "wrong mask", .first = 0x81, .payload = {"x", 1}, .is_wrong_mask = true, .code = 1002},
    {.name = "reserved bit 1", .first = 0xc1, .code = 1002},
    {.name = "reserved bit 2", .first = 0xa1, .code = 1002},
    {.name = "reserved bit 3", .first = 0x92, .code = 1002},
    {.name = "reserved bit of a ping", .first = 0xc9, .code = 1002},
    {.name = "opcode 3", .first = 0x83, .code = 1002},
    {.name = "opcode 7", .first = 0x87, .code = 1002},
    {.name = "opcode 11", .first = 0x8b, .code = 1002},
    {.name = "opcode 15", .first = 0x8f, .code = 1002},
    {.name = "ping in parts", .first = 0x09, .code = 1002},
    {.name = "pong in parts", .first = 0x0a, .code = 1002},
    {.name = "close in parts", .first = 0x08, .code = 1002},
    {.name = "ping of 126", .first = 0x89, .length_bytes = 2, .claimed = 126, .code = 1002},
    {.name = "close of 126", .first = 0x88, .length_bytes = 2, .claimed = 126, .code = 1002},
    {.name = "continuation of nothing", .first = 0x80, .payload = {"x", 1}, .code = 1002},
    {.name = "part of nothing", .first = 0x00, .payload = {"x", 1}, .code = 1002},
    {.name = "text inside a text", .first = 0x81, .is_inside = true, .code = 1002},
    {.name = "binary inside a text", .first = 0x02, .is_inside = true, .code = 1002},
    {.name = "16 bits for 125", .first = 0x82, .length_bytes = 2, .claimed = 125, .code = 1002},
    {.name = "64 bits for 65535", .first = 0x82, .length_bytes = 8, .claimed = 65535, .code = 1002},
    {.name = "the top bit", .first = 0x82, .length_bytes = 8, .claimed = 1ULL << 63, .code = 1002},
    {.name = "no UTF-8", .first = 0x81, .payload = {"\xfe", 1}, .code = 1007},
    {.name = "a surrogate", .first = 0x81, .payload = {"\xed\xa0\x80", 3}, .code = 1007},
    {.name = "a character cut", .first = 0x81, .payload = {"\xc3", 1}, .code = 1007},
    {.name = "a character cut, in parts",
     .first = 0x80,
     .payload = {"\xe2\x82", 2},
     .is_inside = true,
     .code = 1007},
    {.name = "half a code", .first = 0x88, .payload = {"x", 1}, .code = 1002},
    {.name = "code 0", .first = 0x88, .payload = {"\0\0", 2}, .code = 1002},
    {.name = "code 999", .first = 0x88, .payload = {"\x03\xe7", 2}, .code = 1002},
    {.name = "code 1004", .first = 0x88, .payload = {"\x03\xec", 2}, .code = 1002},
    {.name = "code 1005", .first = 0x88, .payload = {"\x03\xed", 2}, .code = 1002},
    {.name = "code 1006", .first = 0x88, .payload = {"\x03\xee", 2}, .code = 1002},
    {.name = "code 1015", .first = 0x88, .payload = {"\x03\xf7", 2}, .code = 1002},
    {.name = "code 2999", .first = 0x88, .payload = {"\x0b\xb7", 2}, .code = 1002},
    {.name = "code 5000", .first = 0x88, .payload = {"\x13\x88", 2}, .code = 1002},
    {.name = "reason no UTF-8", .first = 0x88, .payload = {"\x03\xe8\xff", 3}, .code = 1007},
    {.name = "too long", .first = 0x82, .length_bytes = 2, .claimed = 1001, .code = 1009},
    {.name = "too long, in parts",
     .first = 0x80,
     .length_bytes = 2,
     .claimed = 998,
     .is_inside = true,
     .code = 1009},
};

static void put_bad(struct buf *out, const struct bad_case *c, enum ws_role role)
{
    const unsigned char *m = mask_to(role);
    bool is_masked = (m != NULL) != c->is_wrong_mask;
    uint64_t length = c->length_bytes > 0 ? c->claimed : c->payload.len;

    ws_frame_put(out, WS_TEXT, STR("good"), m);
    if (c->is_inside)
        ws_frame_put_fragment(out, WS_TEXT, false, STR("abc"), m);
    buf_putc(out, (char)c->first);
    buf_putc(out, (char)((is_masked ? 0x80u : 0) | (c->length_bytes == 8   ? 127
                                                    : c->length_bytes == 2 ? 126
                                                                           : (unsigned)length)));
    for (size_t i = c->length_bytes; i > 0; i--)
        buf_putc(out, (char)(length >> 8 * (i - 1)));
    if (is_masked)
        buf_append(out, mask, sizeof mask);
    for (size_t i = 0; i < c->payload.len; i++)
        buf_putc(out, (char)((unsigned char)c->payload.p[i] ^ (is_masked ? mask[i % 4] : 0)));
    ws_frame_put(out, WS_TEXT, STR("behind"), m);
}

enum after { AFTER_END, AFTER_SILENCE, AFTER_NOISE, AFTERS };

/* What comes behind a violation is dropped until the wire ends too, for 2 s at most. */
static void check_end(struct world *w, const char *name, enum after after)
{
    static char noise[1 << 20];
    int64_t began_ms = loop_now_ms(w->loop);

    unit_true(name, !w->end.is_closed);
    if (after == AFTER_END)
        shutdown(w->wire.fd, SHUT_WR);
    if (after == AFTER_NOISE)
        wire_sends(w, (struct str){noise, sizeof noise}, 1000);
    run(w, name, is_closed);
    if (after == AFTER_END)
        unit_true(name, loop_now_ms(w->loop) == began_ms);
    else /* since the violation, which the wire sends the rest of its bytes behind */
        unit_true(name, loop_now_ms(w->loop) - began_ms <= WS_CONN_CLOSE_MS &&
                            loop_now_ms(w->loop) - began_ms > WS_CONN_CLOSE_MS - 200);
}

static void check_violation(const struct bad_case *c, enum ws_role role, size_t piece,
                            enum after after)
{
    struct world w = {0};
    struct buf bytes = {0}, want = {0};

    put_bad(&bytes, c, role);
    buf_printf(&want, "close:%u ", c->code);
    open_world(&w, (struct ws_conn_options){.role = role, .max_message_bytes = 1000}, STR(""));
    int64_t began_ms = loop_now_ms(w.loop);
    wire_sends(&w, buf_str(&bytes), piece == 0 ? bytes.len : piece);
    run(&w, c->name, is_wire_over);
    unit_true(c->name, loop_now_ms(w.loop) - began_ms <= (int64_t)bytes.len);
    unit_equal(c->name, buf_cstr(&w.heard), buf_cstr(&want));
    unit_true(c->name, !ws_conn_is_open(w.end.conn));
    check_end(&w, c->name, after);
    unit_true(c->name, w.end.is_failure && w.end.code == WS_CLOSE_ABNORMAL);
    unit_true(c->name, w.end.why.code == (c->code == 1009 ? ERR_TOO_LARGE : ERR_PROTOCOL));
    unit_true(c->name, strncmp(w.end.why.msg, "WebSocket: ", 11) == 0);
    unit_equal(c->name, buf_cstr(&w.end.messages), "text:good ");
    close_world(&w);
    buf_free(&bytes);
    buf_free(&want);
}

static void violations_end_it_at_once(void **state)
{
    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        for (size_t i = 0; i < UNIT_COUNT(bad_cases); i++) {
            check_violation(&bad_cases[i], roles[r], 0, (enum after)(i % AFTERS));
            check_violation(&bad_cases[i], roles[r], 1, (enum after)((i + 1) % AFTERS));
            check_violation(&bad_cases[i], roles[r], 7, (enum after)((i + 2) % AFTERS));
        }
    }
}

/* ---- the two roles against each other ---- */

static void open_pair(struct world *w, struct ws_conn_options options,
                      const struct stream_memory_limits *limits)
{
    struct stream *pair[2];
    struct err e = {0};

    open_loop(w);
    const struct loop_wake wakes[2] = {{w->loop, NULL, NULL}, {w->loop, NULL, NULL}};
    assert_int_equal(stream_memory_pair(pair, wakes, &e), 0);
    options.role = WS_CLIENT;
    w->end.conn = make_conn(&w->end, pair[0], options, STR(""));
    options.role = WS_SERVER;
    w->other.conn = make_conn(&w->other, pair[1], options, STR(""));
    stream_memory_limit(pair[0], limits);
    stream_memory_limit(pair[1], limits);
}

static bool are_both_closed(void *owner)
{
    const struct world *w = owner;

    return w->is_late || (w->end.is_closed && w->other.is_closed);
}

static size_t wanted_count;

static bool have_all_come(void *owner)
{
    const struct world *w = owner;

    return w->is_late || (w->end.count >= wanted_count && w->other.count >= wanted_count);
}

/* In a memory that takes so much at once. */
static const struct {
    struct stream_memory_limits limits;
    size_t longest;
} memories[] = {{{0, 0, 0}, 1 << 20}, {{1, 1, 1}, 127}, {{7, 3, 10}, 127},
                {{1, 0, 0}, 127},     {{0, 1, 0}, 127}, {{100, 1000, 300}, 65536}};

static void send_all_sizes(struct world *w, enum ws_opcode kind, size_t longest)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 1 << 20};
    struct err e = {0};

    wanted_count = 0;
    for (size_t i = 0; i < UNIT_COUNT(sizes) && sizes[i] <= longest; i++) {
        struct str message = {block, sizes[i]};
        assert_int_equal(ws_conn_send(w->end.conn, kind, message, &e), 0);
        assert_int_equal(ws_conn_send(w->other.conn, kind, message, &e), 0);
        ws_conn_ping(i % 2 == 0 ? w->end.conn : w->other.conn, STR("inside"));
        wanted_count++;
    }
}

static void check_pair(size_t memory, enum ws_opcode kind, bool client_closes, bool pauses)
{
    struct world w = {0};
    struct end *closer = client_closes ? &w.end : &w.other;
    struct end *left = client_closes ? &w.other : &w.end;

    open_pair(&w, (struct ws_conn_options){.ping_interval_ms = PING_MS, .dead_after_ms = DEAD_MS},
              &memories[memory].limits);
    w.end.pauses = w.other.pauses = pauses;
    send_all_sizes(&w, kind, memories[memory].longest);
    for (size_t i = 0; pauses && i < wanted_count; i++) {
        pass(&w, 1000);
        unit_true("one at a time", w.end.count == i + 1 && w.other.count == i + 1);
        ws_conn_resume(w.end.conn);
        ws_conn_resume(w.other.conn);
    }
    run(&w, "messages", have_all_come);
    unit_equal("same", buf_cstr(&w.end.messages), buf_cstr(&w.other.messages));
    pass(&w, 10 * DEAD_MS + PING_MS / 2); /* pings keep it */
    unit_true("queues are empty", ws_conn_queued(w.end.conn) == 0);
    unit_true("pongs came", str_find(buf_str(&w.end.pongs), 'i') < SIZE_MAX);
    ws_conn_close(closer->conn, 4321, STR("enough"));
    ws_conn_close(closer->conn, 1000, STR("again"));
    run(&w, "closed", are_both_closed);
    unit_true("no fault", !w.end.is_failure && !w.other.is_failure);
    unit_true("code", closer->code == 4321 && left->code == 4321);
    unit_equal("reason", left->reason, "enough");
    unit_equal("words", left->why.msg, "closed by the other side: 4321 \"enough\"");
    unit_equal("our words", closer->why.msg, "closed");
    close_world(&w);
}

static void both_roles_talk(void **state)
{
    (void)state;
    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < UNIT_COUNT(memories); i++) {
        for (int turn = 0; turn < 4; turn++) {
            check_pair(i, WS_TEXT, turn % 2 == 0, turn / 2 == 0);
            check_pair(i, WS_BINARY, turn % 2 == 0, turn / 2 == 0);
        }
    }
}

/* Whatever of the two is lost, and whenever, ends both. */
static void a_reset_ends_both(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w = {0};
        struct stream *pair[2];
        struct err e = {0};
        open_loop(&w);
        const struct loop_wake wakes[2] = {{w.loop, NULL, NULL}, {w.loop, NULL, NULL}};
        assert_int_equal(stream_memory_pair(pair, wakes, &e), 0);
        w.end.conn =
            make_conn(&w.end, pair[0], (struct ws_conn_options){.role = WS_CLIENT}, STR(""));
        w.other.conn =
            make_conn(&w.other, pair[1], (struct ws_conn_options){.role = WS_SERVER}, STR(""));
        assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("x"), &e), 0);
        pass(&w, 1);
        if (i == 1)
            ws_conn_close(w.end.conn, 1000, STR(""));
        stream_memory_reset(pair[0]);
        run(&w, "reset", are_both_closed);
        unit_true("after our close it is an end like others", w.end.is_failure == (i == 0));
        unit_true("reset", w.other.is_failure && w.other.code == WS_CLOSE_ABNORMAL);
        unit_equal("words", w.other.why.msg, "cannot receive: Connection reset by peer");
        close_world(&w);
    }
}

/* ---- masks ---- */

/* Many short messages of one round: the other side has the first ones before it ends. One that is
 * gone, or takes no more, changes nothing until the connection has its turn. */
static void batches_are_written_at_once(void **state)
{
    struct err e = {0};
    char data[100];

    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        struct world w = {0};
        size_t size = roles[r] == WS_CLIENT ? 8 : 4;
        open_world(&w, (struct ws_conn_options){.role = roles[r]}, STR(""));
        assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("ab"), &e), 0);
        ws_conn_write_above(w.end.conn, 2 * size);
        unit_true("it is too little", ws_conn_queued(w.end.conn) == size);
        assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("ab"), &e), 0);
        ws_conn_write_above(w.end.conn, 2 * size);
        unit_true("it is enough", ws_conn_queued(w.end.conn) == 0);
        assert_int_equal(recv(w.wire.fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT), 2 * size);
        assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("cd"), &e), 0);
        pass(&w, 1);
        unit_equal("all came, in order", buf_cstr(&w.heard), "text:ab text:ab text:cd ");
        shutdown(w.wire.fd, SHUT_RDWR);
        assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("ef"), &e), 0);
        ws_conn_write_above(w.end.conn, 1);
        assert_false(w.end.is_closed);
        run(&w, "its end comes in its turn", is_closed);
        close_world(&w);
    }
}

static void clients_mask_and_servers_do_not(void **state)
{
    struct err e = {0};

    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        struct world w = {0};
        size_t size = roles[r] == WS_CLIENT ? 8 : 4;
        open_world(&w, (struct ws_conn_options){.role = roles[r]}, STR(""));
        for (int i = 0; i < 200; i++)
            assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("ab"), &e), 0);
        unit_true("nothing is written at once", ws_conn_queued(w.end.conn) == 200 * size);
        pass(&w, 1);
        unit_true("all is written in the round", ws_conn_queued(w.end.conn) == 0);
        unit_true("all came", w.raw.len == 200 * size);
        for (size_t i = 0; i + 2 * size <= w.raw.len; i += size) {
            bool is_same = memcmp(w.raw.data + i, w.raw.data + i + size, size) == 0;
            unit_true("each has a mask of its own", is_same == (roles[r] == WS_SERVER));
        }
        close_world(&w);
    }
}

/* ---- time ---- */

static void pings_and_pongs(void **state)
{
    struct world w = {0};
    struct buf pong = {0};

    (void)state;
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER, .ping_interval_ms = PING_MS},
               STR(""));
    pass(&w, 2 * PING_MS + 1);
    unit_equal("pings", buf_cstr(&w.heard), "ping: ping: ");
    ws_conn_ping(w.end.conn, STR("own"));
    ws_frame_put(&pong, WS_PONG, STR("own"), mask);
    wire_sends(&w, buf_str(&pong), 100);
    pass(&w, 1);
    unit_equal("pong", buf_cstr(&w.end.pongs), "own");
    unit_equal("own ping", buf_cstr(&w.heard), "ping: ping: ping:own ");
    assert_false(w.end.is_closed);
    close_world(&w);
    buf_free(&pong);
}

static void a_silent_line_is_dead(void **state)
{
    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        struct world w = {0};
        open_world(&w,
                   (struct ws_conn_options){
                       .role = roles[r], .ping_interval_ms = PING_MS, .dead_after_ms = DEAD_MS},
                   STR(""));
        pass(&w, DEAD_MS - 1);
        assert_false(w.end.is_closed);
        pass(&w, 1);
        run(&w, "dead", is_closed);
        assert_true(w.end.is_failure && w.end.code == WS_CLOSE_ABNORMAL);
        unit_equal("words", w.end.why.msg, "dead: no answer to pings, not a byte for 60 s");
        close_world(&w);
    }
}

/* ---- back-pressure: what we send ---- */

/* Until it is refused. */
static size_t fill_queue(struct world *w)
{
    struct err e = {0};
    size_t sent = 0;

    while (ws_conn_send(w->end.conn, WS_BINARY, (struct str){block, sizeof block}, &e) == 0)
        assert_true(++sent < 100);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    unit_true("words", strstr(e.msg, "reads too slowly") != NULL);
    return sent;
}

static bool is_drained(void *owner)
{
    const struct world *w = owner;

    return w->is_late || w->end.drained > 0;
}

static void a_long_queue_is_refused_until_it_drains(void **state)
{
    struct world w = {0};
    size_t all = 0;

    (void)state;
    open_world(
        &w,
        (struct ws_conn_options){.role = WS_SERVER, .drained_bytes = 3 << 20, .all_queued = &all},
        STR(""));
    set_deaf(&w, true);
    assert_int_equal(fill_queue(&w), 15);
    assert_true(all >= 15 << 20);
    pass(&w, 1000);
    assert_int_equal(w.end.drained, 0);
    set_deaf(&w, false);
    run(&w, "drained", is_drained);
    assert_true(ws_conn_queued(w.end.conn) <= 3 << 20);
    pass(&w, 1000);
    assert_int_equal(w.end.drained, 1);
    assert_int_equal(ws_conn_queued(w.end.conn), 0);
    assert_int_equal(all, 0);
    assert_int_equal(fill_queue(&w), 15);
    pass(&w, 1000);
    assert_int_equal(w.end.drained, 2);
    close_world(&w);
    assert_int_equal(all, 0);
}

static void the_queue_of_all_is_bounded_too(void **state)
{
    struct world w = {0};
    size_t all = WS_CONN_MAX_ALL_BYTES + 1;
    struct err e = {0};

    (void)state;
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER, .all_queued = &all}, STR(""));
    assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, (struct str){block, 60000}, &e), 0);
    assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, (struct str){block, 60000}, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    close_world(&w);
}

/* It pings and does not read: one pong is owed, the last ping's. */
static void pongs_do_not_pile_up(void **state)
{
    struct world w = {0};
    struct buf pings = {0};
    struct err e = {0};

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        ws_frame_put(&pings, WS_PING, str_of(text), mask);
    }
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER}, STR(""));
    set_deaf(&w, true);
    assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, (struct str){block, sizeof block}, &e), 0);
    wire_sends(&w, buf_str(&pings), 60000);
    pass(&w, 1000);
    unit_true("all pings were read", w.to_send.len == 0);
    unit_true("no pong waits", ws_conn_queued(w.end.conn) <= sizeof block + WS_MAX_HEAD_BYTES);
    set_deaf(&w, false);
    pass(&w, 1000);
    unit_true("the last is answered", str_ends_with(buf_str(&w.heard), STR(" pong:99999 ")));
    unit_true("alone", w.heard.len < 100);
    close_world(&w);
    buf_free(&pings);
}

static void read_a_little(struct world *w)
{
    char data[100000];

    assert_true(read(w->wire.fd, data, sizeof data) > 0);
}

/* It takes what we send, slowly, and says nothing: alive. It takes nothing: dead, also while it
 * talks. */
static void slow_readers_live_and_stuck_ones_die(void **state)
{
    struct world w = {0};
    struct buf ping = {0};

    (void)state;
    open_world(&w,
               (struct ws_conn_options){
                   .role = WS_SERVER, .ping_interval_ms = PING_MS, .dead_after_ms = DEAD_MS},
               STR(""));
    set_deaf(&w, true);
    fill_queue(&w);
    for (int i = 0; i < 20; i++) {
        pass(&w, DEAD_MS / 2);
        read_a_little(&w);
        read_a_little(&w);
        read_a_little(&w);
    }
    assert_false(w.end.is_closed);
    ws_frame_put(&ping, WS_PING, STR("x"), mask);
    for (int i = 0; i < 10 && !w.end.is_closed; i++) {
        wire_sends(&w, buf_str(&ping), 100);
        pass(&w, DEAD_MS / 4);
    }
    assert_true(w.end.is_closed && w.end.is_failure);
    unit_equal("words", w.end.why.msg,
               "dead: the other side does not read, it took nothing for 60 s");
    close_world(&w);
    buf_free(&ping);
}

/* ---- back-pressure: what we read ---- */

static void put_numbers(struct buf *out, int count, const unsigned char *m)
{
    for (int i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        ws_frame_put(out, WS_TEXT, str_of(text), m);
    }
}

static void check_numbers(const struct world *w, int count)
{
    struct buf want = {0};

    for (int i = 0; i < count; i++)
        buf_printf(&want, "text:%d ", i);
    unit_equal("messages", buf_cstr((struct buf *)(uintptr_t)&w->end.messages), buf_cstr(&want));
    buf_free(&want);
}

/* A pause after each message, whether they came in one piece or with the handshake. */
static void a_pause_stops_the_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * UNIT_COUNT(roles); i++) {
        enum ws_role role = roles[i / 2];
        struct world w = {.end.pauses = true};
        struct buf text = {0};
        put_numbers(&text, 5, mask_to(role));
        ws_frame_put(&text, WS_PING, STR("p"), mask_to(role));
        struct str early = str_slice(buf_str(&text), 0, i % 2 == 0 ? 0 : text.len);
        open_world(&w, (struct ws_conn_options){.role = role, .dead_after_ms = DEAD_MS}, early);
        wire_sends(&w, str_slice(buf_str(&text), early.len, text.len), text.len);
        for (int n = 1; n <= 5; n++) {
            pass(&w, 10 * DEAD_MS); /* nobody is dead for that */
            check_numbers(&w, n);
            unit_equal("the ping waits", buf_cstr(&w.heard), "");
            ws_conn_resume(w.end.conn);
        }
        pass(&w, 1);
        unit_equal("the ping is answered", buf_cstr(&w.heard), "pong:p ");
        pass(&w, DEAD_MS);
        run(&w, "then silence counts again", is_closed);
        assert_true(w.end.is_failure);
        close_world(&w);
        buf_free(&text);
    }
}

static bool is_all_sent_or_read(void *owner)
{
    const struct world *w = owner;

    return w->is_late || (w->to_send.len == 0 && w->end.count == 100);
}

/* While it is paused the other side must stop; nothing is lost. */
static void a_pause_stops_the_sender(void **state)
{
    struct world w = {0};
    struct buf text = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        ws_frame_put(&text, WS_BINARY, (struct str){block, 100000}, mask);
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER}, STR(""));
    ws_conn_pause(w.end.conn);
    wire_sends(&w, buf_str(&text), text.len);
    pass(&w, 1000);
    assert_int_equal(w.end.count, 0);
    assert_true(w.to_send.len > text.len / 2);
    ws_conn_resume(w.end.conn);
    run(&w, "all comes", is_all_sent_or_read);
    close_world(&w);
    buf_free(&text);
}

static void a_paused_one_can_be_closed(void **state)
{
    struct world w = {0};
    struct buf text = {0};

    (void)state;
    put_numbers(&text, 3, mask);
    ws_frame_put_close(&text, 1001, STR(""), mask);
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER}, STR(""));
    ws_conn_pause(w.end.conn);
    wire_sends(&w, buf_str(&text), text.len);
    pass(&w, 1);
    int64_t began_ms = loop_now_ms(w.loop);
    ws_conn_close(w.end.conn, 1001, STR(""));
    run(&w, "closed", is_closed);
    assert_int_equal(loop_now_ms(w.loop), began_ms);
    assert_true(w.end.code == 1001 && w.end.count == 0 && !w.end.is_failure);
    close_world(&w);
    buf_free(&text);
}

struct turns {
    struct loop_call call;
    struct world *world;
    size_t seen, most;
};

static void count_turn(void *owner)
{
    struct turns *t = owner;
    size_t came = t->world->end.count - t->seen;

    t->most = came > t->most ? came : t->most;
    t->seen = t->world->end.count;
    loop_defer(t->world->loop, &t->call);
}

static bool have_5000_come(void *owner)
{
    const struct world *w = owner;

    return w->is_late || w->end.count == 5000;
}

/* A flood of small messages leaves others their turn, and keeps its order. */
static void a_flood_leaves_others_their_turn(void **state)
{
    struct world w = {0};
    struct turns turns = {.world = &w};
    struct buf text = {0};

    (void)state;
    put_numbers(&text, 5000, mask);
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER}, STR(""));
    turns.call = (struct loop_call){.call = count_turn, .owner = &turns};
    loop_defer(w.loop, &turns.call);
    wire_sends(&w, buf_str(&text), text.len);
    run(&w, "all come", have_5000_come);
    loop_undefer(w.loop, &turns.call);
    assert_true(turns.most <= 2 * WS_CONN_MAX_EVENTS);
    check_numbers(&w, 5000);
    close_world(&w);
    buf_free(&text);
}

/* ---- every kind of end ---- */

static void our_close(void **state)
{
    struct err e = {0};

    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        struct world w = {0};
        struct buf answer = {0};
        open_world(&w, (struct ws_conn_options){.role = roles[r]}, STR(""));
        ws_conn_close(w.end.conn, WS_CLOSE_TAKEN, STR("resource r is already connected"));
        assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("late"), &e), -1);
        ws_conn_ping(w.end.conn, STR("late"));
        ws_frame_put(&answer, WS_TEXT, STR("unheard"), mask_to(roles[r]));
        ws_frame_put_close(&answer, WS_CLOSE_TAKEN, STR(""), mask_to(roles[r]));
        wire_sends(&w, buf_str(&answer), 1);
        run(&w, "close", is_all_over);
        unit_equal("heard", buf_cstr(&w.heard), "close:4009 ");
        assert_true(w.end.count == 0 && !w.end.is_failure && w.end.code == WS_CLOSE_TAKEN);
        close_world(&w);
        buf_free(&answer);
    }
}

static void our_close_without_an_answer(void **state)
{
    (void)state;
    for (int is_deaf = 0; is_deaf < 2; is_deaf++) {
        struct world w = {0};
        open_world(&w, (struct ws_conn_options){.role = WS_CLIENT}, STR(""));
        set_deaf(&w, is_deaf);
        if (is_deaf)
            fill_queue(&w);
        int64_t began_ms = loop_now_ms(w.loop);
        ws_conn_close(w.end.conn, WS_CLOSE_NO_CODE, STR(""));
        run(&w, "close", is_closed);
        assert_int_equal(loop_now_ms(w.loop) - began_ms, WS_CONN_CLOSE_MS);
        assert_true(!w.end.is_failure && w.end.code == WS_CLOSE_ABNORMAL);
        if (!is_deaf)
            unit_equal("heard", buf_cstr(&w.heard), "close:1005 ");
        close_world(&w);
    }
}

static void their_close_without_a_code(void **state)
{
    struct world w = {0};

    (void)state;
    open_world(&w, (struct ws_conn_options){.role = WS_CLIENT}, STR("\x88")); /* and then: */
    wire_sends(&w, (struct str){"\0", 1}, 1);
    run(&w, "closed", is_all_over);
    unit_equal("heard", buf_cstr(&w.heard), "close:1005 ");
    assert_true(!w.end.is_failure && w.end.code == WS_CLOSE_NO_CODE);
    unit_equal("words", w.end.why.msg, "closed by the other side");
    close_world(&w);
}

static void hanging_up(void **state)
{
    (void)state;
    for (size_t r = 0; r < UNIT_COUNT(roles); r++) {
        struct world w = {0};
        open_world(&w, (struct ws_conn_options){.role = roles[r]}, STR(""));
        wire_sends(&w, (struct str){"\x81", 1}, 1); /* in mid-frame */
        shutdown(w.wire.fd, SHUT_WR);
        run(&w, "hung up", is_closed);
        assert_true(!w.end.is_failure && w.end.code == WS_CLOSE_ABNORMAL);
        unit_equal("words", w.end.why.msg, "hung up");
        close_world(&w);
    }
}

/* Writing fails before the other side's last words were read: they are what is reported. */
static void last_words_of_one_that_is_gone(void **state)
{
    struct world w = {0};
    struct buf text = {0};
    struct err e = {0};

    (void)state;
    put_numbers(&text, 2, mask);
    ws_frame_put_close(&text, 4001, STR("wrong secret"), mask);
    open_world(&w, (struct ws_conn_options){.role = WS_SERVER}, STR(""));
    assert_int_equal(send(w.wire.fd, text.data, text.len, MSG_NOSIGNAL), (ssize_t)text.len);
    loop_remove(w.loop, &w.wire);
    shutdown(w.wire.fd, SHUT_RDWR);
    assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("lost"), &e), 0);
    run(&w, "closed", is_closed);
    assert_true(!w.end.is_failure && w.end.code == 4001);
    unit_equal("reason", w.end.reason, "wrong secret");
    check_numbers(&w, 2);
    close_world(&w);
    buf_free(&text);
}

/* The same, a byte at a time: writing fails long before the close frame is read. */
static void last_words_that_come_slowly(void **state)
{
    const struct stream_memory_limits slow = {.read_bytes = 1};
    struct world w = {0};
    struct stream *pair[2];
    struct buf text = {0};
    struct err e = {0};
    size_t n;

    (void)state;
    put_numbers(&text, 2, mask);
    ws_frame_put_close(&text, 4001, STR("wrong secret"), mask);
    open_loop(&w);
    const struct loop_wake wakes[2] = {{w.loop, NULL, NULL}, {w.loop, NULL, NULL}};
    assert_int_equal(stream_memory_pair(pair, wakes, &e), 0);
    w.end.conn = make_conn(&w.end, pair[1], (struct ws_conn_options){.role = WS_SERVER}, STR(""));
    stream_memory_limit(pair[1], &slow);
    assert_int_equal(stream_write(pair[0], buf_str(&text), &n, &e), IO_DONE);
    stream_free(pair[0]);
    assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("lost"), &e), 0);
    run(&w, "closed", is_closed);
    assert_true(!w.end.is_failure && w.end.code == 4001);
    check_numbers(&w, 2);
    close_world(&w);
    buf_free(&text);
}

static bool is_conn_gone(void *owner)
{
    const struct world *w = owner;

    return w->is_late || w->end.conn == NULL;
}

/* In each callback; nothing of it stays (close_world looks). */
static void freed_by_its_owner(void **state)
{
    struct buf text = {0}, pong = {0};
    struct err e = {0};

    (void)state;
    put_talk(&text, mask);
    ws_frame_put(&pong, WS_PONG, STR(""), mask);
    for (int i = 0; i < 4; i++) {
        struct world w = {.end.frees = true};
        struct str early = i == 0 ? buf_str(&text) : STR("");
        open_world(&w, (struct ws_conn_options){.role = WS_SERVER}, early);
        if (i == 1)
            wire_sends(&w, buf_str(&text), text.len);
        if (i == 2)
            wire_sends(&w, buf_str(&pong), pong.len);
        if (i == 3)
            assert_int_equal(ws_conn_send(w.end.conn, WS_TEXT, STR("x"), &e), 0);
        run(&w, "freed", is_conn_gone);
        assert_false(w.end.is_closed);
        close_world(&w);
    }
    ws_conn_free(NULL);
    buf_free(&text);
    buf_free(&pong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks_in_every_split),
        cmocka_unit_test(violations_end_it_at_once),
        cmocka_unit_test(both_roles_talk),
        cmocka_unit_test(a_reset_ends_both),
        cmocka_unit_test(batches_are_written_at_once),
        cmocka_unit_test(clients_mask_and_servers_do_not),
        cmocka_unit_test(pings_and_pongs),
        cmocka_unit_test(a_silent_line_is_dead),
        cmocka_unit_test(a_long_queue_is_refused_until_it_drains),
        cmocka_unit_test(the_queue_of_all_is_bounded_too),
        cmocka_unit_test(pongs_do_not_pile_up),
        cmocka_unit_test(slow_readers_live_and_stuck_ones_die),
        cmocka_unit_test(a_pause_stops_the_messages),
        cmocka_unit_test(a_pause_stops_the_sender),
        cmocka_unit_test(a_paused_one_can_be_closed),
        cmocka_unit_test(a_flood_leaves_others_their_turn),
        cmocka_unit_test(our_close),
        cmocka_unit_test(our_close_without_an_answer),
        cmocka_unit_test(their_close_without_a_code),
        cmocka_unit_test(hanging_up),
        cmocka_unit_test(last_words_of_one_that_is_gone),
        cmocka_unit_test(last_words_that_come_slowly),
        cmocka_unit_test(freed_by_its_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
