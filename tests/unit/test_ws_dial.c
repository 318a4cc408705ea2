/* A WebSocket that we dial, against a scripted server on loopback: the opening handshake, then what
 * real sockets do to an open one (frames and roles: test_ws_conn.c). */
#include "base/clock.h"
#include "http/ws_conn.h"
#include "http/ws_dial.h"
#include "peer.h"
#include "waker.h"

enum { PATIENCE_MS = 10000 };

static struct ws_dial *dial_marked(const struct peer *peer, const char *mark)
{
    struct ws_dial_options options = {
        .patience_ms = PATIENCE_MS, .wake = waker_of(&waker), .mark = mark};
    struct buf url = {0};
    struct err e = {0};

    buf_printf(&url, "ws://127.0.0.1:%u/p?secret=1", peer->port);
    options.url = buf_str(&url);
    struct ws_dial *d = ws_dial_new(&options, clock_now_ms(), &e);
    assert_non_null(d);
    buf_free(&url);
    return d;
}

static enum io dial_up(struct ws_dial *d, struct stream **stream, struct buf *early, struct err *e)
{
    enum io io;

    while ((io = ws_dial_step(d, clock_now_ms(), stream, early, e)) == IO_WANT_READ ||
           io == IO_WANT_WRITE)
        waker_wait(&waker);
    return io;
}

/* An open connection that sends every message back; what comes, as text, is appended to `came`. */
struct line {
    struct ws_conn *conn;
    struct buf came;
    bool is_over, is_failure, is_quiet;
    enum err_code code;
};

static void on_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct line *line = owner;
    struct err e = {0};

    buf_printf(&line->came, "\"%.*s\" ", STR_ARG(str_cut(message, 20)));
    assert_int_equal(ws_conn_send(line->conn, kind, message, &e), 0);
}

static void on_closed(void *owner, const struct ws_end *end)
{
    struct line *line = owner;

    line->conn = NULL;
    line->is_over = true;
    line->is_failure = end->is_failure;
    line->code = end->why.code;
    if (end->is_failure)
        buf_printf(&line->came, "error %d", end->why.code);
    else
        buf_printf(&line->came, "closed %u \"%.*s\"", end->code, STR_ARG(end->reason));
}

static void open_line(struct line *line, const struct peer *peer)
{
    const struct ws_conn_options options = {.role = WS_CLIENT,
                                            .loop = waker.loop,
                                            .max_message_bytes = 1024,
                                            .on_message = on_message,
                                            .on_closed = on_closed,
                                            .owner = line};
    struct ws_dial *d = dial_marked(peer, NULL);
    struct stream *stream;
    struct buf early = {0};
    struct err e = {0};

    if (dial_up(d, &stream, &early, &e) != IO_DONE)
        fail_msg("%s", e.msg);
    line->conn = ws_conn_new(&options, stream, STR(""), buf_str(&early), &e);
    assert_non_null(line->conn);
    buf_free(&early);
    ws_dial_free(d);
}

static bool is_over(void *owner)
{
    return ((struct line *)owner)->is_over;
}

static void run_line(struct line *line)
{
    struct err e = {0};

    assert_int_equal(loop_run_until(waker.loop, is_over, line, &e), 0);
}

/* The frames that the peer got, as text. */
static void describe_frames(struct peer *peer, struct buf *out)
{
    struct ws_reader reader;
    struct ws_event event;
    unsigned code;
    size_t used;
    const char *end = strstr(buf_cstr(&peer->log), "\r\n\r\n");
    struct str input = {0};

    if (end != NULL)
        input = str_slice(buf_str(&peer->log), (size_t)(end - peer->log.data) + 4, SIZE_MAX);
    ws_reader_init(&reader, WS_SERVER, 1 << 24);
    while (ws_frame_read(&reader, input, &used, &event, &code, ERR_IGNORED) == IO_DONE) {
        input = str_slice(input, used, SIZE_MAX);
        buf_printf(out, "%s:%.*s ",
                   event.opcode == WS_TEXT     ? "text"
                   : event.opcode == WS_BINARY ? "binary"
                   : event.opcode == WS_PING   ? "ping"
                   : event.opcode == WS_PONG   ? "pong"
                   : event.opcode == WS_CLOSE  ? "close"
                                               : "other",
                   STR_ARG(str_cut(event.payload, 20)));
        if (event.opcode == WS_CLOSE)
            buf_printf(out, "%u ", event.close_code);
    }
    ws_reader_deinit(&reader);
}

#define DRAIN PEER_DO(DRAIN), PEER_DO(END)
#define BYE                                                                                        \
    "\x88\x05\x03\xe8"                                                                             \
    "bye"

static const struct {
    const char *name;
    struct peer_step script[8];
    const char *came, *sent;
} talks[] = {
    {"texts",
     {PEER_SAY_BYTES("\x81\x02hi\x81\x00\x82\x03"
                     "bin" BYE),
      DRAIN},
     "\"hi\" \"\" \"bin\" closed 1000 \"bye\"",
     "text:hi text: binary:bin close: 1000 "},
    {"fragments",
     {PEER_SAY_BYTES("\x01\x01"
                     "a\x00\x01"
                     "b\x89\x01"
                     "p\x80\x01"
                     "c" BYE),
      DRAIN},
     "\"abc\" closed 1000 \"bye\"",
     "pong:p text:abc close: 1000 "},
    {"ping and pong",
     {PEER_SAY_BYTES("\x89\x03one\x8a\x00\x89\x00" BYE), DRAIN},
     "closed 1000 \"bye\"",
     "pong:one pong: close: 1000 "},
    {"closed without a code",
     {PEER_SAY_BYTES("\x88\x00"), DRAIN},
     "closed 1005 \"\"",
     "close: 1005 "},
    {"our own codes",
     {PEER_SAY_BYTES("\x88\x0e\x0f\xa1wrong secret"), DRAIN},
     "closed 4001 \"wrong secret\"",
     "close: 4001 "},
    {"hung up",
     {PEER_SAY_BYTES("\x81\x02hi"), PEER_TAKE(8), PEER_DO(CLOSE), PEER_DO(END)},
     "\"hi\" closed 1006 \"\"",
     "text:hi "},
    {"hung up in a frame",
     {PEER_SAY_BYTES("\x81\x05hi"), PEER_DO(CLOSE), PEER_DO(END)},
     "closed 1006 \"\"",
     ""},
    {"reset",
     {PEER_SAY_BYTES("\x81\x02hi"), PEER_TAKE(8), PEER_DO(RESET), PEER_DO(END)},
     "\"hi\" error 5",
     "text:hi "},
    {"a masked frame",
     {PEER_SAY_BYTES("\x81\x81wxyza"), DRAIN},
     "error 8",
     "close:WebSocket: masked fr 1002 "},
    {"no UTF-8",
     {PEER_SAY_BYTES("\x81\x01\xff"), DRAIN},
     "error 8",
     "close:WebSocket: text that 1007 "},
    {"too long",
     {PEER_SAY_BYTES("\x81\x7e\x04\x01"), DRAIN},
     "error 9",
     "close:WebSocket: message t 1009 "},
};

static void talks_end_as_they_should(void **state)
{
    (void)state;
    assert_int_equal(ERR_NETWORK, 5);
    assert_int_equal(ERR_PROTOCOL, 8);
    assert_int_equal(ERR_TOO_LARGE, 9);
    for (size_t i = 0; i < 2 * UNIT_COUNT(talks); i++) {
        const char *name = talks[i / 2].name;
        struct peer_step script[16] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE)};
        struct line line = {0};
        struct buf sent = {0};
        struct peer peer;
        memcpy(script + 2, talks[i / 2].script, sizeof talks[0].script);
        if (i % 2 == 1)
            script[2].kind = PEER_DRIP;
        peer_start(&peer, script);
        open_line(&line, &peer);
        run_line(&line);
        unit_equal(name, buf_cstr(&line.came), talks[i / 2].came);
        peer_finish(&peer);
        describe_frames(&peer, &sent);
        unit_equal(name, buf_cstr(&sent), talks[i / 2].sent);
        buf_free(&line.came);
        buf_free(&sent);
        peer_free(&peer);
    }
}

static void handshakes_that_fail(void **state)
{
    static const struct {
        const char *name;
        struct peer_step script[4];
        enum err_code code;
        const char *want;
    } cases[] = {
        {"forbidden",
         {PEER_DO(HEAD), PEER_SAY("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), DRAIN},
         ERR_REFUSED,
         "403"},
        {"no upgrade",
         {PEER_DO(HEAD), PEER_SAY("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), DRAIN},
         ERR_REFUSED,
         "200"},
        {"wrong accept",
         {PEER_DO(HEAD),
          PEER_SAY("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                   "\r\n"),
          DRAIN},
         ERR_PROTOCOL,
         ""},
        {"no HTTP", {PEER_DO(HEAD), PEER_SAY("hello\r\n\r\n"), DRAIN}, ERR_PROTOCOL, ""},
        {"hung up",
         {PEER_DO(HEAD), PEER_DO(CLOSE), PEER_DO(END)},
         ERR_NETWORK,
         "closed in the WebSocket handshake"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct peer_step script[8] = {PEER_DO(ACCEPT)};
        struct peer peer;
        struct stream *stream;
        struct buf early = {0};
        struct err e = {0};
        memcpy(script + 1, cases[i].script, sizeof cases[0].script);
        peer_start(&peer, script);
        struct ws_dial *d = dial_marked(&peer, NULL);
        unit_true(cases[i].name, dial_up(d, &stream, &early, &e) == IO_ERR);
        unit_true(cases[i].name, e.code == cases[i].code);
        unit_true(cases[i].name, strstr(e.msg, cases[i].want) != NULL);
        unit_true(cases[i].name, strncmp(e.msg, "ws://127.0.0.1:", 15) == 0);
        unit_true(cases[i].name, strstr(e.msg, "secret") == NULL);
        ws_dial_free(d);
        peer_free(&peer);
    }
}

/* Time is an argument: a step far in the future, while the server is silent. */
static void silence(void **state)
{
    static const struct peer_step deaf[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), DRAIN};
    struct stream *stream;
    struct buf early = {0};
    struct peer peer;
    struct err e = {0};
    enum io io = IO_WANT_READ;

    (void)state;
    peer_start(&peer, deaf);
    struct ws_dial *d = dial_marked(&peer, NULL);
    int64_t now = clock_now_ms();
    while (io != IO_ERR) {
        io = ws_dial_step(d, now, &stream, &early, &e);
        now += 2 * PATIENCE_MS;
    }
    assert_int_equal(e.code, ERR_TIMEOUT);
    ws_dial_free(d);
    peer_free(&peer);
}

/* Nothing of an attempt that is given up at any time stays in the loop (see waker_close). */
static void freed_at_any_step(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE),
                                              PEER_SAY_BYTES("\x81\x02hi"), DRAIN};

    (void)state;
    for (int steps = 0; steps < 6; steps++) {
        struct peer peer;
        struct stream *stream = NULL;
        struct buf early = {0};
        struct err e = {0};
        peer_start(&peer, script);
        struct ws_dial *d = dial_marked(&peer, NULL);
        for (int i = 0; i < steps && stream == NULL; i++) {
            enum io io = ws_dial_step(d, clock_now_ms(), &stream, &early, &e);
            assert_true(io != IO_ERR && io != IO_EOF);
            if (io != IO_DONE)
                waker_wait_ms(&waker, 200);
        }
        ws_dial_free(d);
        stream_free(stream);
        buf_free(&early);
        peer_free(&peer);
        assert_true(rounds_nothing_is_left(waker.loop, &waker.clock));
    }
    ws_dial_free(NULL);
}

/* Much in both directions at once: every message comes back whole and in order. */
static void large_messages(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE),
                                              PEER_TAKE(10 * ((1 << 20) + 14)), PEER_SAY_BYTES(BYE),
                                              DRAIN};
    struct peer peer;
    struct line line = {0};
    struct err e = {0};
    char *bytes = malloc(1 << 20);

    (void)state;
    peer_start(&peer, script);
    open_line(&line, &peer);
    for (int i = 0; i < 10; i++) {
        memset(bytes, 'a' + i, 1 << 20);
        assert_int_equal(ws_conn_send(line.conn, WS_TEXT, (struct str){bytes, 1 << 20}, &e), 0);
    }
    assert_int_equal(ws_conn_queued(line.conn), 10 * ((1 << 20) + 14));
    run_line(&line);
    unit_equal("end", buf_cstr(&line.came), "closed 1000 \"bye\"");
    peer_finish(&peer);
    assert_true(peer.received > 10 * ((1 << 20) + 14));
    buf_free(&line.came);
    peer_free(&peer);
    free(bytes);
}

static void we_close(void **state)
{
    static const struct {
        const char *name;
        struct peer_step script[8];
        unsigned code;
    } cases[] = {
        /* a head of 2 and a mask of 4 bytes, code and "done" */
        {"answered", {PEER_TAKE(12), PEER_SAY_BYTES("\x81\x02no\x88\x02\x03\xe9"), DRAIN}, 1001},
        {"hung up", {PEER_TAKE(12), PEER_DO(CLOSE), PEER_DO(END)}, WS_CLOSE_ABNORMAL},
        {"reset", {PEER_TAKE(12), PEER_DO(RESET), PEER_DO(END)}, WS_CLOSE_ABNORMAL},
        {"silent", {DRAIN}, WS_CLOSE_ABNORMAL},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct peer_step script[16] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE)};
        struct line line = {0};
        struct buf sent = {0}, want = {0};
        struct peer peer;
        memcpy(script + 2, cases[i].script, sizeof cases[0].script);
        peer_start(&peer, script);
        open_line(&line, &peer);
        ws_conn_close(line.conn, 1001, STR("done"));
        run_line(&line);
        buf_printf(&want, "closed %u \"\"", cases[i].code);
        unit_equal(cases[i].name, buf_cstr(&line.came), buf_cstr(&want));
        peer_finish(&peer);
        describe_frames(&peer, &sent);
        unit_equal(cases[i].name, buf_cstr(&sent), "close:done 1001 ");
        buf_free(&line.came);
        buf_free(&sent);
        buf_free(&want);
        peer_free(&peer);
    }
}

/* The peer's 101 has an X-Mark. */
static void the_mark_is_found(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE), DRAIN};
    static const struct {
        const char *mark;
        bool want;
    } cases[] = {{"x-mark", true}, {"X-Other", false}, {NULL, false}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct peer peer;
        struct stream *stream;
        struct buf early = {0};
        struct err e = {0};
        peer_start(&peer, script);
        struct ws_dial *d = dial_marked(&peer, cases[i].mark);
        assert_false(ws_dial_is_marked(d));
        assert_int_equal(dial_up(d, &stream, &early, &e), IO_DONE);
        assert_int_equal(ws_dial_is_marked(d), cases[i].want);
        stream_free(stream);
        ws_dial_free(d);
        peer_free(&peer);
    }
}

static void urls_are_checked(void **state)
{
    static const struct {
        const char *url, *want;
    } cases[] = {
        {"ws://me@example.org/", "a URL of example.org has a user name: want one without"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct ws_dial_options options = {.url = str_of(cases[i].url), .patience_ms = 1};
        struct err e = {0};
        unit_true(cases[i].url, ws_dial_new(&options, 0, &e) == NULL && e.code == ERR_USAGE);
        unit_equal(cases[i].url, e.msg, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(talks_end_as_they_should),
        WAKER_TEST(handshakes_that_fail),
        WAKER_TEST(silence),
        WAKER_TEST(large_messages),
        WAKER_TEST(freed_at_any_step),
        WAKER_TEST(we_close),
        WAKER_TEST(urls_are_checked),
        WAKER_TEST(the_mark_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
