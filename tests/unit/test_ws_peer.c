/* The server's end of a WebSocket: frames in every split, pings, the close handshake, bounds. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/ws_peer.h"
#include "unit.h"

enum { PATIENCE_MS = 20000, SHORT_MS = 20, LONG_MS = 600000 };

static const unsigned char mask[4] = {1, 2, 3, 4};

struct world {
    struct loop *loop;
    struct ws_peer *peer;
    struct loop_fd client;
    struct loop_timer patience, feeder;
    struct ws_reader reader; /* the client's */
    struct buf heard;        /* what the client gets: "text:…" "ping:…" "close:…" */
    struct buf messages;     /* what the peer passes on, with '|' behind each */
    struct buf pongs;
    struct str to_send;
    size_t piece, first_piece;
    unsigned closed_code;
    char closed_reason[ERR_MESSAGE_SIZE];
    bool is_closed, is_out_of_patience, echoes, frees, is_deaf;
};

static void on_message(void *ctx, struct str message)
{
    struct world *w = ctx;
    struct err e = {0};

    buf_put(&w->messages, message);
    buf_putc(&w->messages, '|');
    if (w->echoes)
        assert_int_equal(ws_peer_send(w->peer, message, &e), 0);
    if (w->frees) {
        ws_peer_free(w->peer);
        w->peer = NULL;
    }
}

static void on_pong(void *ctx, struct str payload)
{
    struct world *w = ctx;

    buf_put(&w->pongs, payload);
    loop_stop(w->loop);
}

static void on_closed(void *ctx, unsigned code, const char *reason)
{
    struct world *w = ctx;

    w->peer = NULL;
    w->is_closed = true;
    w->closed_code = code;
    snprintf(w->closed_reason, sizeof w->closed_reason, "%s", reason);
    if (!w->client.is_added) /* it has heard the end already */
        loop_stop(w->loop);
}

static void note(struct world *w, const struct ws_event *event)
{
    static const char *const names[] = {
        [WS_TEXT] = "text", [WS_CLOSE] = "close", [WS_PING] = "ping", [WS_PONG] = "pong"};

    if (event->opcode == WS_CLOSE)
        buf_printf(&w->heard, "close:%u ", event->close_code);
    else
        buf_printf(&w->heard, "%s:%.*s ", names[event->opcode], STR_ARG(event->payload));
    if (event->opcode == WS_PING)
        loop_stop(w->loop);
}

static void on_client(void *owner)
{
    struct world *w = owner;
    char data[4096];
    ssize_t n = read(w->client.fd, data, sizeof data);
    struct str input = {data, n > 0 ? (size_t)n : 0};
    struct ws_event event;
    struct err e = {0};
    unsigned code;
    size_t used;

    if (n <= 0) {
        loop_remove(w->loop, &w->client);
        loop_stop(w->loop);
        return;
    }
    while (ws_frame_read(&w->reader, input, &used, &event, &code, &e) == IO_DONE) {
        input = str_slice(input, used, input.len);
        note(w, &event);
    }
}

static void on_feed(void *owner)
{
    struct world *w = owner;
    struct str part = str_slice(w->to_send, 0, w->first_piece > 0 ? w->first_piece : w->piece);

    w->first_piece = 0;
    if (part.len == 0 || send(w->client.fd, part.p, part.len, MSG_NOSIGNAL) < 0)
        return;
    w->to_send = str_slice(w->to_send, part.len, w->to_send.len);
    loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop));
}

static void on_patience(void *owner)
{
    struct world *w = owner;

    w->is_out_of_patience = true;
    loop_stop(w->loop);
}

static void open_world(struct world *w, struct ws_peer_options options, struct str early)
{
    struct err e = {0};
    int pair[2];

    w->loop = loop_new(NULL, &e);
    assert_non_null(w->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    options.loop = w->loop;
    options.on_message = on_message;
    options.on_pong = on_pong;
    options.on_closed = on_closed;
    options.ctx = w;
    if (options.ping_interval_ms == 0)
        options.ping_interval_ms = LONG_MS;
    if (options.dead_after_ms == 0)
        options.dead_after_ms = LONG_MS;
    if (options.max_message_bytes == 0)
        options.max_message_bytes = 1000;
    w->client = (struct loop_fd){.fd = pair[0], .call = on_client, .owner = w};
    w->feeder = (struct loop_timer){.call = on_feed, .owner = w};
    w->patience = (struct loop_timer){.call = on_patience, .owner = w};
    ws_reader_init(&w->reader, WS_CLIENT, 1 << 20);
    if (!w->is_deaf)
        assert_int_equal(loop_add(w->loop, &w->client, LOOP_READ, &e), 0);
    w->peer = ws_peer_new(&options, pair[1], STR(""), early, &e);
    assert_non_null(w->peer);
}

static void run(struct world *w, const char *name)
{
    struct err e = {0};

    loop_set_timer(w->loop, &w->patience, clock_now_ms() + PATIENCE_MS);
    assert_int_equal(loop_run(w->loop, &e), 0);
    loop_clear_timer(w->loop, &w->patience);
    unit_true(name, !w->is_out_of_patience);
}

static void close_world(struct world *w)
{
    ws_peer_free(w->peer);
    if (w->client.is_added)
        loop_remove(w->loop, &w->client);
    close(w->client.fd);
    loop_free(w->loop);
    ws_reader_deinit(&w->reader);
    buf_free(&w->heard);
    buf_free(&w->messages);
    buf_free(&w->pongs);
}

/* ---- frames in every split ---- */

static void put_talk(struct buf *out)
{
    ws_frame_put(out, WS_TEXT, STR("one"), mask);
    ws_frame_put(out, WS_PING, STR("p"), mask);
    ws_frame_put_fragment(out, WS_BINARY, false, STR("t"), mask);
    ws_frame_put(out, WS_PONG, STR(""), mask);
    ws_frame_put_fragment(out, WS_CONTINUATION, true, STR("wo"), mask);
    ws_frame_put_close(out, WS_CLOSE_NORMAL, STR("bye"), mask);
}

static void check_talk(struct str text, size_t early, size_t first, size_t piece)
{
    struct world w = {.echoes = true, .piece = piece, .first_piece = first};
    struct ws_peer_options options = {0};

    open_world(&w, options, str_slice(text, 0, early));
    w.to_send = str_slice(text, early, text.len);
    loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
    while (!w.is_closed || w.client.is_added)
        run(&w, "talk");
    unit_equal("messages", buf_cstr(&w.messages), "one|two|");
    /* The pong may come before the echo of the message in front of it: nothing orders them. */
    unit_true("echo", strstr(buf_cstr(&w.heard), "text:one ") != NULL);
    unit_true("pong", strstr(buf_cstr(&w.heard), "pong:p ") != NULL);
    unit_true("close", str_ends_with(buf_str(&w.heard), STR("text:two close:1000 ")));
    unit_equal("reason", w.closed_reason, "closed by the other side: 1000 \"bye\"");
    assert_int_equal(w.closed_code, WS_CLOSE_NORMAL);
    close_world(&w);
}

static void test_talk(void **state)
{
    struct buf text = {0};

    (void)state;
    put_talk(&text);
    check_talk(buf_str(&text), 0, 0, text.len);
    check_talk(buf_str(&text), 0, 0, 1);
    for (size_t i = 1; i < text.len; i++) {
        check_talk(buf_str(&text), 0, i, text.len);
        check_talk(buf_str(&text), i, 0, text.len);
    }
    check_talk(buf_str(&text), text.len, 0, 1);
    buf_free(&text);
}

/* ---- violations ---- */

static const struct bad_case {
    const char *name;
    struct str bytes;
    const char *heard;
} bad_cases[] = {
    {"unmasked", {"\x81\x01x", 3}, "close:1002 "},
    {"reserved bit", {"\xc1\x81\1\2\3\4x", 7}, "close:1002 "},
    {"not UTF-8", {"\x81\x81\1\2\3\4\xfe", 7}, "close:1007 "},
    {"too long", {"\x81\xfe\x03\xe9\1\2\3\4", 8}, "close:1009 "},
};

static void test_violations(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        struct world w = {.to_send = c->bytes, .piece = 100};
        open_world(&w, (struct ws_peer_options){0}, STR(""));
        loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
        int64_t began_ms = clock_now_ms();
        run(&w, c->name); /* until the end of its side, which comes without ours */
        unit_true(c->name, clock_now_ms() - began_ms < WS_PEER_CLOSE_MS / 2);
        unit_equal(c->name, buf_cstr(&w.heard), c->heard);
        /* What comes meanwhile is dropped, until our end. */
        assert_int_equal(send(w.client.fd, "more", 4, MSG_NOSIGNAL), 4);
        unit_true(c->name, !w.is_closed);
        shutdown(w.client.fd, SHUT_WR);
        run(&w, c->name);
        unit_true(c->name, w.is_closed && w.closed_code == WS_CLOSE_ABNORMAL);
        unit_true(c->name, w.messages.len == 0);
        close_world(&w);
    }
}

/* ---- time ---- */

static void test_pings(void **state)
{
    struct world w = {.piece = 100};
    struct ws_peer_options options = {.ping_interval_ms = SHORT_MS};
    struct buf pong = {0};

    (void)state;
    open_world(&w, options, STR(""));
    run(&w, "first ping");
    run(&w, "second ping");
    unit_equal("pings", buf_cstr(&w.heard), "ping: ping: ");
    ws_peer_ping(w.peer, STR("own"));
    ws_frame_put(&pong, WS_PONG, STR("own"), mask);
    w.to_send = buf_str(&pong);
    loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
    while (w.pongs.len == 0)
        run(&w, "pong");
    unit_equal("pong", buf_cstr(&w.pongs), "own");
    assert_false(w.is_closed);
    close_world(&w);
    buf_free(&pong);
}

static void test_dead(void **state)
{
    struct world w = {0};
    struct ws_peer_options options = {.dead_after_ms = SHORT_MS};

    (void)state;
    open_world(&w, options, STR(""));
    run(&w, "dead");
    assert_true(w.is_closed);
    unit_equal("reason", w.closed_reason, "no answer to pings");
    close_world(&w);
}

/* ---- closing ---- */

static void test_our_close(void **state)
{
    struct world w = {.piece = 100};
    struct buf answer = {0};

    (void)state;
    open_world(&w, (struct ws_peer_options){0}, STR(""));
    ws_peer_close(w.peer, WS_CLOSE_TAKEN, STR("resource r is already connected"));
    assert_int_equal(ws_peer_send(w.peer, STR("late"), &(struct err){0}), -1);
    ws_frame_put(&answer, WS_TEXT, STR("unheard"), mask);
    ws_frame_put_close(&answer, WS_CLOSE_TAKEN, STR(""), mask);
    w.to_send = buf_str(&answer);
    loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
    run(&w, "close");
    unit_equal("heard", buf_cstr(&w.heard), "close:4009 ");
    assert_true(w.is_closed && w.messages.len == 0);
    close_world(&w);
    buf_free(&answer);
}

static void test_hang_up(void **state)
{
    struct world w = {0};

    (void)state;
    open_world(&w, (struct ws_peer_options){0}, STR(""));
    shutdown(w.client.fd, SHUT_WR);
    run(&w, "hang up");
    assert_true(w.is_closed);
    assert_int_equal(w.closed_code, WS_CLOSE_ABNORMAL);
    unit_equal("reason", w.closed_reason, "hung up");
    close_world(&w);
}

static void test_freed_by_its_owner(void **state)
{
    struct world w = {.frees = true, .piece = 1000};
    struct buf text = {0};

    (void)state;
    put_talk(&text);
    open_world(&w, (struct ws_peer_options){0}, buf_str(&text));
    run(&w, "free");
    unit_equal("messages", buf_cstr(&w.messages), "one|");
    assert_false(w.is_closed);
    close_world(&w);
    buf_free(&text);
}

/* Who does not read is told to the sender, and what was queued is not lost by that. */
static void test_queue(void **state)
{
    static char block[1 << 20];
    struct world w = {.is_deaf = true};
    struct err e = {0};
    size_t sent = 0;

    (void)state;
    memset(block, 'x', sizeof block);
    open_world(&w, (struct ws_peer_options){0}, STR(""));
    while (ws_peer_send(w.peer, (struct str){block, sizeof block}, &e) == 0)
        assert_true(++sent <= WS_PEER_MAX_QUEUED_BYTES / sizeof block);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_true(sent >= WS_PEER_MAX_QUEUED_BYTES / sizeof block - 1);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),
        cmocka_unit_test(test_violations),
        cmocka_unit_test(test_pings),
        cmocka_unit_test(test_dead),
        cmocka_unit_test(test_our_close),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_freed_by_its_owner),
        cmocka_unit_test(test_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
