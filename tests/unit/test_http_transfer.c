/* HTTP bodies from a source and into a sink; answers that come too early, too late or never. */
#include "base/clock.h"
#include "http/http_client.h"
#include "peer.h"
#include "waker.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define LARGE (8 << 20)

/* A source that gives chunks of 'a' and then does something. */
struct source {
    int64_t give;  /* bytes */
    size_t chunk;  /* in parts of so many */
    enum io end;   /* then this */
    bool waits;    /* before each chunk it has nothing once */
    bool is_ready; /* it said so */
    unsigned calls;
    char *data;
};

static enum io next_chunk(void *ctx, struct str *chunk, struct err *e)
{
    struct source *s = ctx;

    s->calls++;
    if (s->waits && !s->is_ready) {
        s->is_ready = true;
        return IO_WANT_READ;
    }
    s->is_ready = false;
    if (s->give == 0) {
        if (s->end == IO_ERR)
            err_set(e, ERR_CHANGED, "the file has changed");
        return s->end;
    }
    *chunk = (struct str){s->data, s->give < (int64_t)s->chunk ? (size_t)s->give : s->chunk};
    s->give -= (int64_t)chunk->len;
    return IO_DONE;
}

struct sink {
    size_t got, calls, fail_at; /* fail_at 0: never */
    bool is_right;
};

static int take(void *ctx, const struct http_head *head, struct str chunk, struct err *e)
{
    struct sink *s = ctx;

    s->got += chunk.len;
    s->calls++;
    s->is_right = head->status == 200 && chunk.len > 0;
    for (size_t i = 0; i < chunk.len; i++)
        s->is_right = s->is_right && chunk.p[i] == '.';
    if (s->fail_at > 0 && s->got >= s->fail_at)
        return err_set(e, ERR_FAILED, "disk full");
    return 0;
}

static struct http_call *new_call(struct http_client *client, const struct peer *peer,
                                  struct http_call_options *options)
{
    struct buf url = {0};
    struct err e = {0};

    buf_printf(&url, "http://127.0.0.1:%u/f?s", peer->port);
    options->url = buf_str(&url);
    if (options->method.len == 0)
        options->method = options->source != NULL ? STR("PUT") : STR("GET");
    if (options->deadline_ms == 0)
        options->deadline_ms = CLOCK_NEVER_MS;
    struct http_call *call = http_call_new(client, options, waker_call, &waker, &e);
    assert_non_null(call);
    buf_free(&url);
    return call;
}

static enum io run(struct http_call *call, struct err *e)
{
    enum io io;

    while ((io = http_call_step(call, clock_now_ms(), e)) != IO_DONE && io != IO_ERR)
        waker_wait_ms(&waker, 50); /* for sources that wait */
    return io;
}

static void sources(void **state)
{
    static const struct {
        const char *name;
        int64_t give, announced;
        size_t chunk;
        enum io end;
        bool waits;
        int status;       /* 0: an error */
        const char *want; /* the whole message */
    } cases[] = {
        {"exact", 100000, 100000, 1000, IO_EOF, false, 200, ""},
        {"large", LARGE, LARGE, 256 << 10, IO_EOF, false, 200, ""},
        {"empty", 0, 0, 1, IO_EOF, false, 200, ""},
        {"byte by byte", 500, 500, 1, IO_EOF, false, 200, ""},
        {"waiting", 5000, 5000, 1000, IO_EOF, true, 200, ""},
        {"fails at once", 0, 10, 1, IO_ERR, false, 0, "the file has changed"},
        {"fails later", 50000, 100000, 1000, IO_ERR, false, 0, "the file has changed"},
        {"too short", 50000, 100000, 1000, IO_EOF, false, 0,
         "the body is not of the 100000 bytes that were announced"},
        {"too long", 2000, 1500, 1000, IO_EOF, false, 0,
         "the body is not of the 1500 bytes that were announced"},
    };
    char *data = malloc(256 << 10);

    (void)state;
    memset(data, 'a', 256 << 10);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct peer_step script[] = {
            PEER_DO(ACCEPT), PEER_DO(HEAD),  PEER_TAKE((size_t)cases[i].announced),
            PEER_SAY(OK),    PEER_DO(DRAIN), PEER_DO(END)};
        struct source source = {.give = cases[i].give,
                                .chunk = cases[i].chunk,
                                .end = cases[i].end,
                                .waits = cases[i].waits,
                                .data = data};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct http_call_options options = {
            .source = next_chunk, .body_size = cases[i].announced, .ctx = &source};
        struct peer peer;
        struct err e = {0};
        peer_start(&peer, script);
        struct http_call *call = new_call(client, &peer, &options);
        enum io io = run(call, &e);
        unit_true(cases[i].name, (io == IO_DONE) == (cases[i].status != 0));
        if (io == IO_DONE)
            unit_true(cases[i].name, http_call_head(call)->status == cases[i].status);
        http_call_free(call);
        http_client_free(client);
        peer_finish(&peer);
        const char *end = strstr(buf_cstr(&peer.log), "\r\n\r\n");
        size_t body = end == NULL ? 0 : peer.received - (size_t)(end + 4 - peer.log.data);
        if (io == IO_DONE) {
            unit_true(cases[i].name, body == (size_t)cases[i].announced);
        } else {
            /* Never all: the peer must not take it as complete. */
            unit_true(cases[i].name, body < (size_t)cases[i].announced);
            unit_true(cases[i].name, strstr(e.msg, cases[i].want) != NULL);
            if (cases[i].end == IO_ERR)
                unit_equal(cases[i].name, e.msg, cases[i].want);
        }
        peer_free(&peer);
    }
    free(data);
}

/* The answer comes while most of the body is still here, politely or with a reset behind it. */
static void early_answers(void **state)
{
#define REFUSAL "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
#define KEEPING "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
    static const struct {
        const char *name;
        struct peer_step script[8];
        int status;
        const char *body;
    } cases[] = {
        {"reads on", {PEER_DO(HEAD), PEER_SAY(REFUSAL), PEER_DO(DRAIN), PEER_DO(END)}, 413, "big"},
        {"closes", {PEER_DO(HEAD), PEER_SAY(REFUSAL), PEER_DO(CLOSE), PEER_DO(END)}, 413, "big"},
        {"has no length and resets",
         {PEER_DO(HEAD), PEER_SAY("HTTP/1.0 407 No\r\n\r\nwhy"), PEER_DO(RESET), PEER_DO(END)},
         407,
         "why"},
        {"a little later",
         {PEER_DO(HEAD), PEER_TAKE(100000), PEER_SAY(REFUSAL), PEER_DO(CLOSE), PEER_DO(END)},
         413,
         "big"},
        {"would keep the connection",
         {PEER_DO(HEAD), PEER_SAY(KEEPING), PEER_DO(NEXT), PEER_DO(HEAD), PEER_SAY(OK),
          PEER_DO(END)},
         403,
         "no"},
    };
    char *data = malloc(LARGE);

    (void)state;
    memset(data, 'a', LARGE);
    for (size_t i = 0; i < 2 * UNIT_COUNT(cases); i++) {
        const char *name = cases[i / 2].name;
        struct peer_step script[10] = {PEER_DO(ACCEPT)};
        struct source source = {.give = 64 * (int64_t)LARGE, .chunk = LARGE, .data = data};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct http_call_options options = {.method = STR("PUT")};
        struct http_call_options second = {.deadline_ms = clock_now_ms() + PEER_WAIT_MS};
        struct peer peer;
        struct err e = {0};
        if (i % 2 == 0) {
            options.source = next_chunk;
            options.body_size = source.give;
            options.ctx = &source;
        } else {
            options.body = (struct str){data, LARGE};
        }
        memcpy(script + 1, cases[i / 2].script, sizeof cases[0].script);
        peer_start(&peer, script);
        struct http_call *call = new_call(client, &peer, &options);
        unit_true(name, run(call, &e) == IO_DONE);
        unit_true(name, http_call_head(call)->status == cases[i / 2].status);
        unit_equal_str(name, http_call_body(call), str_of(cases[i / 2].body));
        http_call_free(call);
        unit_true(name, source.give > 0); /* not all of it was asked for */
        if (cases[i / 2].status == 403) { /* on a new connection */
            call = new_call(client, &peer, &second);
            unit_true(name, run(call, &e) == IO_DONE);
            http_call_free(call);
        }
        http_client_free(client);
        peer_free(&peer);
    }
    free(data);
}

static void a_server_that_takes_nothing(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_TAKE(100000),
                                              PEER_DO(RESET), PEER_DO(END)};
    char *data = malloc(LARGE);
    struct source source = {.give = 64 * (int64_t)LARGE, .chunk = LARGE, .data = data};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct http_call_options options = {
        .source = next_chunk, .body_size = source.give, .ctx = &source};
    struct peer peer;
    struct err e = {0};

    (void)state;
    memset(data, 'a', LARGE);
    peer_start(&peer, script);
    struct http_call *call = new_call(client, &peer, &options);
    assert_int_equal(run(call, &e), IO_ERR);
    assert_int_equal(e.code, ERR_NETWORK);
    unit_true("says how far", strstr(e.msg, "the connection was lost after ") != NULL &&
                                  strstr(e.msg, " of 536870912 bytes of the body") != NULL);
    /* The same again, should somebody step once more. */
    struct err again = {0};
    assert_int_equal(http_call_step(call, clock_now_ms(), &again), IO_ERR);
    unit_equal("again", again.msg, e.msg);
    http_call_free(call);
    http_client_free(client);
    peer_free(&peer);
    free(data);
}

static void sinks(void **state)
{
#define HEAD_OF(status) "HTTP/1.1 " status "\r\nContent-Length: 8388608\r\n\r\n"
#define CHUNKS          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n"
    static const struct {
        const char *name, *head, *tail;
        size_t fill, fail_at;
        bool is_error;
        size_t got, collected;
    } cases[] = {
        {"length", HEAD_OF("200 OK"), "", LARGE, 0, false, LARGE, 0},
        {"chunked", CHUNKS, "\r\n0\r\n\r\n", LARGE, 0, false, LARGE, 0},
        {"until close", "HTTP/1.1 200 OK\r\n\r\n", "", LARGE, 0, false, LARGE, 0},
        {"not found is collected", "HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\n", "", 10, 0,
         false, 0, 10},
        {"created is collected", "HTTP/1.1 201 Yes\r\nContent-Length: 10\r\n\r\n", "", 10, 0, false,
         0, 10},
        {"fails", HEAD_OF("200 OK"), "", LARGE, 1000000, true, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct peer_step script[] = {PEER_DO(ACCEPT),
                                           PEER_DO(HEAD),
                                           PEER_SAY(cases[i].head),
                                           PEER_GIVE(cases[i].fill),
                                           PEER_SAY(cases[i].tail),
                                           PEER_DO(CLOSE),
                                           PEER_DO(END)};
        struct sink sink = {.fail_at = cases[i].fail_at};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct http_call_options options = {.sink = take, .ctx = &sink};
        struct peer peer;
        struct err e = {0};
        peer_start(&peer, script);
        struct http_call *call = new_call(client, &peer, &options);
        unit_true(cases[i].name, run(call, &e) == (cases[i].is_error ? IO_ERR : IO_DONE));
        if (cases[i].is_error) {
            unit_equal(cases[i].name, e.msg, "disk full");
        } else {
            unit_true(cases[i].name, sink.got == cases[i].got);
            unit_true(cases[i].name, sink.got == 0 || sink.is_right);
            unit_true(cases[i].name, http_call_body(call).len == cases[i].collected);
        }
        http_call_free(call);
        http_client_free(client);
        peer_free(&peer);
    }
}

/* Steps until the call waits for the server, then at a time when it is due. */
static void expect_late(const char *name, const struct peer_step *script,
                        struct http_call_options options, int64_t later_ms, enum err_code code,
                        const char *want)
{
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct peer peer;
    struct err e = {0};
    enum io io = IO_DONE;

    peer_start(&peer, script);
    struct http_call *call = new_call(client, &peer, &options);
    for (int waits = 0; waits < 20; waits++) { /* enough to connect, send and read a part */
        io = http_call_step(call, clock_now_ms(), &e);
        unit_true(name, io == IO_WANT_READ || io == IO_WANT_WRITE);
        waker_wait_ms(&waker, 2);
    }
    assert_false(rounds_nothing_is_left(waker.loop, &waker.clock)); /* there is a deadline */
    io = http_call_step(call, clock_now_ms() + later_ms, &e);
    unit_true(name, io == IO_ERR && e.code == code);
    unit_true(name, strstr(e.msg, want) != NULL);
    http_call_free(call);
    http_client_free(client);
    peer_free(&peer);
}

static void silence(void **state)
{
    static const struct peer_step deaf[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_DO(DRAIN),
                                            PEER_DO(END)};
    static const struct peer_step part[] = {
        PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
        PEER_DO(DRAIN), PEER_DO(END)};
    struct http_call_options options = {.deadline_ms = CLOCK_NEVER_MS};

    (void)state;
    expect_late("no answer", deaf, options, HTTP_CLIENT_STALL_MS, ERR_NETWORK,
                "stalled: no byte for 60 s");
    expect_late("half an answer", part, options, HTTP_CLIENT_STALL_MS, ERR_NETWORK,
                "stalled: no byte for 60 s");
    options.stall_ms = 5000;
    expect_late("own limit", deaf, options, 5000, ERR_NETWORK, "stalled: no byte for 5 s");
    options.deadline_ms = clock_now_ms() + 100000;
    options.stall_ms = 200000;
    expect_late("deadline", part, options, 100000, ERR_TIMEOUT, "not finished within 100 s");
}

/* A source that has nothing yet is no stall. */
static void waiting_for_ourselves(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(DRAIN), PEER_DO(END)};
    struct source source = {.give = 10, .end = IO_WANT_READ, .waits = true};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct http_call_options options = {.source = next_chunk, .body_size = 10, .ctx = &source};
    struct peer peer;
    struct err e = {0};

    (void)state;
    peer_start(&peer, script);
    struct http_call *call = new_call(client, &peer, &options);
    while (source.calls == 0) {
        assert_true(http_call_step(call, clock_now_ms(), &e) != IO_ERR);
        if (source.calls == 0)
            waker_wait(&waker);
    }
    assert_true(rounds_nothing_is_left(waker.loop, &waker.clock));
    source.give = 0; /* and still nothing */
    assert_int_equal(http_call_step(call, clock_now_ms() + 2 * HTTP_CLIENT_STALL_MS, &e),
                     IO_WANT_READ);
    assert_true(source.calls >= 2);
    http_call_free(call);
    http_client_free(client);
    peer_free(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(sources), WAKER_TEST(early_answers), WAKER_TEST(a_server_that_takes_nothing),
        WAKER_TEST(sinks),   WAKER_TEST(silence),       WAKER_TEST(waiting_for_ourselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
