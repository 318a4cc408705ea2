/* WebSocket connections against a scripted server: handshake, messages, pings, all kinds of end. */
#include "base/clock.h"
#include "http/ws_client.h"
#include "peer.h"
#include "waker.h"

enum { CONNECT_MS = 10000, PING_MS = 20000, DEAD_MS = 60000 };

static struct ws_client *open_marked(const struct peer *peer, size_t max_message, const char *mark)
{
    struct ws_client_options options = {.connect_ms = CONNECT_MS,
                                        .ping_interval_ms = PING_MS,
                                        .dead_after_ms = DEAD_MS,
                                        .max_message_bytes = max_message,
                                        .wake = waker_of(&waker),
                                        .mark = mark};
    struct buf url = {0};
    struct err e = {0};

    buf_printf(&url, "ws://127.0.0.1:%u/p?secret=1", peer->port);
    options.url = buf_str(&url);
    struct ws_client *c = ws_client_new(&options, clock_now_ms(), &e);
    assert_non_null(c);
    buf_free(&url);
    return c;
}

static struct ws_client *open_client(const struct peer *peer, size_t max_message)
{
    return open_marked(peer, max_message, NULL);
}

/* Steps until something comes. */
static enum io next(struct ws_client *c, enum ws_client_event *event, struct str *message,
                    struct err *e)
{
    enum io io;

    while ((io = ws_client_step(c, clock_now_ms(), event, message, e)) == IO_WANT_READ ||
           io == IO_WANT_WRITE)
        waker_wait(&waker);
    return io;
}

static void expect_open(struct ws_client *c)
{
    enum ws_client_event event;
    struct str message;
    struct err e = {0};

    if (next(c, &event, &message, &e) != IO_DONE)
        fail_msg("%s", e.msg);
    assert_int_equal(event, WS_CLIENT_OPENED);
}

/* Runs to the end, sending every message back; what came, as text, is appended. */
static enum io run(struct ws_client *c, struct buf *came, struct err *e)
{
    enum ws_client_event event;
    struct str message;
    enum io io;

    while ((io = next(c, &event, &message, e)) == IO_DONE) {
        if (event == WS_CLIENT_OPENED) {
            buf_puts(came, "opened ");
            continue;
        }
        buf_printf(came, "\"%.*s\" ", STR_ARG(str_cut(message, 20)));
        assert_int_equal(ws_client_send(c, message, e), 0);
    }
    if (io == IO_EOF)
        buf_printf(came, "closed %u \"%.*s\"", ws_client_close_code(c),
                   STR_ARG(ws_client_close_reason(c)));
    else
        buf_printf(came, "error %d", e->code);
    return io;
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
    while (ws_frame_read(&reader, input, &used, &event, &code, NULL) == IO_DONE) {
        input = str_slice(input, used, SIZE_MAX);
        buf_printf(out, "%s:%.*s ",
                   event.opcode == WS_TEXT    ? "text"
                   : event.opcode == WS_PING  ? "ping"
                   : event.opcode == WS_PONG  ? "pong"
                   : event.opcode == WS_CLOSE ? "close"
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
     "opened \"hi\" \"\" \"bin\" closed 1000 \"bye\"",
     "text:hi text: text:bin close: 1000 "},
    {"fragments",
     {PEER_SAY_BYTES("\x01\x01"
                     "a\x00\x01"
                     "b\x89\x01"
                     "p\x80\x01"
                     "c" BYE),
      DRAIN},
     "opened \"abc\" closed 1000 \"bye\"",
     "pong:p text:abc close: 1000 "},
    {"ping and pong",
     {PEER_SAY_BYTES("\x89\x03one\x8a\x00\x89\x00" BYE), DRAIN},
     "opened closed 1000 \"bye\"",
     "pong:one pong: close: 1000 "},
    {"closed without a code",
     {PEER_SAY_BYTES("\x88\x00"), DRAIN},
     "opened closed 1005 \"\"",
     "close: 1005 "},
    {"our own codes",
     {PEER_SAY_BYTES("\x88\x0e\x0f\xa1wrong secret"), DRAIN},
     "opened closed 4001 \"wrong secret\"",
     "close: 4001 "},
    {"hung up",
     {PEER_SAY_BYTES("\x81\x02hi"), PEER_TAKE(8), PEER_DO(CLOSE), PEER_DO(END)},
     "opened \"hi\" closed 1006 \"\"",
     "text:hi "},
    {"hung up in a frame",
     {PEER_SAY_BYTES("\x81\x05hi"), PEER_DO(CLOSE), PEER_DO(END)},
     "opened closed 1006 \"\"",
     ""},
    {"reset",
     {PEER_SAY_BYTES("\x81\x02hi"), PEER_TAKE(8), PEER_DO(RESET), PEER_DO(END)},
     "opened \"hi\" error 5",
     "text:hi "},
    {"a masked frame", {PEER_SAY_BYTES("\x81\x81wxyza"), DRAIN}, "opened error 8", "close: 1002 "},
    {"no UTF-8", {PEER_SAY_BYTES("\x81\x01\xff"), DRAIN}, "opened error 8", "close: 1007 "},
    {"too long", {PEER_SAY_BYTES("\x81\x7e\x04\x01"), DRAIN}, "opened error 9", "close: 1009 "},
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
        struct buf came = {0}, sent = {0};
        struct peer peer;
        struct err e = {0};
        memcpy(script + 2, talks[i / 2].script, sizeof talks[0].script);
        if (i % 2 == 1)
            script[2].kind = PEER_DRIP;
        peer_start(&peer, script);
        struct ws_client *c = open_client(&peer, 1024);
        enum io io = run(c, &came, &e);
        unit_equal(name, buf_cstr(&came), talks[i / 2].came);
        if (io == IO_ERR) {
            unit_true(name, strncmp(e.msg, "ws://127.0.0.1:", 15) == 0);
            unit_true(name, strstr(e.msg, "secret") == NULL);
        }
        ws_client_free(c);
        peer_finish(&peer);
        describe_frames(&peer, &sent);
        unit_equal(name, buf_cstr(&sent), talks[i / 2].sent);
        buf_free(&came);
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
        struct buf came = {0};
        struct err e = {0};
        memcpy(script + 1, cases[i].script, sizeof cases[0].script);
        peer_start(&peer, script);
        struct ws_client *c = open_client(&peer, 0);
        unit_true(cases[i].name, run(c, &came, &e) == IO_ERR);
        unit_true(cases[i].name, e.code == cases[i].code);
        unit_true(cases[i].name, strstr(e.msg, cases[i].want) != NULL);
        ws_client_free(c);
        buf_free(&came);
        peer_free(&peer);
    }
}

/* Time is an argument: a step far in the future, while the server is silent. */
static void silence(void **state)
{
    static const struct peer_step deaf[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), DRAIN};
    static const struct peer_step quiet[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE), DRAIN};
    enum ws_client_event event;
    struct str message;
    struct buf sent = {0};
    struct peer peer;
    struct err e = {0};
    enum io io = IO_WANT_READ;

    (void)state;
    peer_start(&peer, deaf);
    struct ws_client *c = open_client(&peer, 0);
    int64_t now = clock_now_ms();
    while (io != IO_ERR) {
        io = ws_client_step(c, now, &event, &message, &e);
        now += 2 * CONNECT_MS;
    }
    assert_int_equal(e.code, ERR_TIMEOUT);
    ws_client_free(c);
    peer_free(&peer);

    peer_start(&peer, quiet);
    c = open_client(&peer, 0);
    expect_open(c);
    now = clock_now_ms();
    assert_int_equal(ws_client_step(c, now + PING_MS, &event, &message, &e), IO_WANT_READ);
    assert_int_equal(ws_client_step(c, now + 2 * PING_MS - 1, &event, &message, &e), IO_WANT_READ);
    assert_int_equal(ws_client_step(c, now + 2 * PING_MS, &event, &message, &e), IO_WANT_READ);
    assert_int_equal(ws_client_step(c, now + DEAD_MS, &event, &message, &e), IO_ERR);
    assert_int_equal(e.code, ERR_NETWORK);
    unit_true("says so", strstr(e.msg, "dead: not a byte for 60 s") != NULL);
    ws_client_free(c);
    peer_finish(&peer);
    describe_frames(&peer, &sent);
    /* The third is due at the moment of death. */
    unit_equal("pings", buf_cstr(&sent), "ping: ping: ping: ");
    buf_free(&sent);
    peer_free(&peer);
}

static void a_peer_that_does_not_read(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE), PEER_TAKE(1),
                                              PEER_DO(HOLD), PEER_DO(END)};
    struct peer peer;
    struct err e = {0};
    size_t size = 1 << 20, count = 0;
    char *bytes = malloc(size);

    (void)state;
    memset(bytes, 'x', size);
    peer_start(&peer, script);
    struct ws_client *c = open_client(&peer, 0);
    assert_int_equal(ws_client_send(c, STR("too early"), &e), -1);
    expect_open(c);
    while (count < 100 && ws_client_send(c, (struct str){bytes, size}, &e) == 0)
        count++;
    assert_int_equal(count, 15);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_true(ws_client_queued(c) <= WS_CLIENT_MAX_QUEUED_BYTES);
    /* What waits tells as much about the peer as a ping behind it would. */
    enum ws_client_event event;
    struct str message;
    do
        count = ws_client_queued(c);
    while (ws_client_step(c, clock_now_ms(), &event, &message, &e) == IO_WANT_WRITE &&
           ws_client_queued(c) < count);
    assert_true(count > 0);
    assert_int_equal(ws_client_step(c, clock_now_ms() + PING_MS, &event, &message, &e),
                     IO_WANT_WRITE);
    assert_int_equal(ws_client_queued(c), count);
    ws_client_free(c);
    peer_free(&peer);
    free(bytes);
}

/* Much in both directions at once: every message comes back whole and in order. */
static void large_messages(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE),
                                              PEER_TAKE(10 * ((1 << 20) + 14)), //
                                              PEER_SAY_BYTES(BYE), DRAIN};
    struct peer peer;
    struct buf came = {0};
    struct err e = {0};
    char *bytes = malloc(1 << 20);

    (void)state;
    peer_start(&peer, script);
    struct ws_client *c = open_client(&peer, 0);
    expect_open(c);
    for (int i = 0; i < 10; i++) {
        memset(bytes, 'a' + i, 1 << 20);
        assert_int_equal(ws_client_send(c, (struct str){bytes, 1 << 20}, &e), 0);
    }
    assert_int_equal(ws_client_queued(c), 10 * ((1 << 20) + 14));
    assert_int_equal(run(c, &came, &e), IO_EOF);
    unit_equal("end", buf_cstr(&came), "closed 1000 \"bye\"");
    ws_client_free(c);
    peer_finish(&peer);
    assert_true(peer.received > 10 * ((1 << 20) + 14));
    buf_free(&came);
    peer_free(&peer);
    free(bytes);
}

/* Texts queued in one round wake the owner once, and go out together; what was sent needs no more
 * steps. */
static void sends_of_one_round(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE), DRAIN};
    enum ws_client_event event;
    struct str message;
    struct buf sent = {0};
    struct peer peer;
    struct err e = {0};

    (void)state;
    peer_start(&peer, script);
    struct ws_client *c = open_client(&peer, 0);
    expect_open(c);
    assert_int_equal(ws_client_step(c, clock_now_ms(), &event, &message, &e), IO_WANT_READ);
    waker.wakes = 0;
    assert_int_equal(ws_client_send(c, STR("one"), &e), 0);
    assert_int_equal(ws_client_send(c, STR("two"), &e), 0);
    assert_int_equal(waker.wakes, 0);
    waker_wait(&waker);
    assert_int_equal(waker.wakes, 1);
    assert_int_equal(ws_client_step(c, clock_now_ms(), &event, &message, &e), IO_WANT_READ);
    assert_int_equal(ws_client_queued(c), 0);
    assert_int_equal(ws_client_send(c, STR("three"), &e), 0);
    assert_int_equal(ws_client_step(c, clock_now_ms(), &event, &message, &e), IO_WANT_READ);
    assert_false(waker_wait_ms(&waker, 20));
    ws_client_yield(c);
    waker_wait(&waker);
    ws_client_free(c);
    peer_finish(&peer);
    describe_frames(&peer, &sent);
    unit_equal("frames", buf_cstr(&sent), "text:one text:two text:three ");
    buf_free(&sent);
    peer_free(&peer);
}

/* Nothing of a connection that is given up at any time stays in the loop (see waker_close). */
static void freed_at_any_step(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE),
                                              PEER_SAY_BYTES("\x81\x02hi"), DRAIN};
    enum ws_client_event event;
    struct str message;

    (void)state;
    for (int steps = 0; steps < 6; steps++) {
        struct peer peer;
        struct err e = {0};
        peer_start(&peer, script);
        struct ws_client *c = open_client(&peer, 0);
        for (int i = 0; i < steps; i++) {
            enum io io = ws_client_step(c, clock_now_ms(), &event, &message, &e);
            assert_true(io != IO_ERR && io != IO_EOF);
            if (io != IO_DONE)
                waker_wait_ms(&waker, 200);
        }
        ws_client_free(c);
        peer_free(&peer);
        assert_int_equal(loop_next_ms(waker.loop), CLOCK_NEVER_MS);
    }
}

static void we_close(void **state)
{
    static const struct {
        const char *name;
        struct peer_step script[8];
        bool is_late;
        unsigned code;
    } cases[] = {
        /* a head of 2 and a mask of 4 bytes, code and "done" */
        {"answered",
         {PEER_TAKE(12), PEER_SAY_BYTES("\x81\x02no\x88\x02\x03\xe9"), DRAIN},
         false,
         1001},
        {"hung up", {PEER_TAKE(12), PEER_DO(CLOSE), PEER_DO(END)}, false, WS_CLOSE_ABNORMAL},
        {"reset", {PEER_TAKE(12), PEER_DO(RESET), PEER_DO(END)}, false, WS_CLOSE_ABNORMAL},
        {"silent", {DRAIN}, true, WS_CLOSE_ABNORMAL},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct peer_step script[16] = {PEER_DO(ACCEPT), PEER_DO(UPGRADE)};
        enum ws_client_event event;
        struct str message;
        struct buf came = {0}, sent = {0};
        struct peer peer;
        struct err e = {0};
        memcpy(script + 2, cases[i].script, sizeof cases[0].script);
        peer_start(&peer, script);
        struct ws_client *c = open_client(&peer, 0);
        expect_open(c);
        ws_client_close(c, 1001, STR("done"));
        ws_client_close(c, 1000, STR("again"));
        unit_true(cases[i].name, ws_client_send(c, STR("late"), &e) == -1);
        if (cases[i].is_late)
            unit_true(cases[i].name, ws_client_step(c, clock_now_ms() + WS_CLIENT_CLOSE_MS, &event,
                                                    &message, &e) == IO_EOF);
        unit_true(cases[i].name, run(c, &came, &e) == IO_EOF);
        unit_true(cases[i].name, ws_client_close_code(c) == cases[i].code);
        ws_client_free(c);
        peer_finish(&peer);
        describe_frames(&peer, &sent);
        unit_equal(cases[i].name, buf_cstr(&sent), "close:done 1001 ");
        buf_free(&came);
        buf_free(&sent);
        peer_free(&peer);
    }
}

static void closed_before_it_was_open(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), DRAIN};
    enum ws_client_event event;
    struct str message;
    struct peer peer;
    struct err e = {0};

    (void)state;
    peer_start(&peer, script);
    struct ws_client *c = open_client(&peer, 0);
    ws_client_close(c, 1000, STR(""));
    assert_int_equal(ws_client_step(c, clock_now_ms(), &event, &message, &e), IO_EOF);
    ws_client_free(c);
    ws_client_free(NULL);
    peer_free(&peer);
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
        peer_start(&peer, script);
        struct ws_client *c = open_marked(&peer, 0, cases[i].mark);
        assert_false(ws_client_is_marked(c));
        expect_open(c);
        assert_int_equal(ws_client_is_marked(c), cases[i].want);
        ws_client_free(c);
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
        struct ws_client_options options = {.url = str_of(cases[i].url), .connect_ms = 1};
        struct err e = {0};
        unit_true(cases[i].url, ws_client_new(&options, 0, &e) == NULL && e.code == ERR_USAGE);
        unit_equal(cases[i].url, e.msg, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(talks_end_as_they_should),
        WAKER_TEST(handshakes_that_fail),
        WAKER_TEST(silence),
        WAKER_TEST(a_peer_that_does_not_read),
        WAKER_TEST(large_messages),
        WAKER_TEST(sends_of_one_round),
        WAKER_TEST(freed_at_any_step),
        WAKER_TEST(we_close),
        WAKER_TEST(closed_before_it_was_open),
        WAKER_TEST(urls_are_checked),
        WAKER_TEST(the_mark_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
