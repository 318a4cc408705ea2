/* Asking before a body is sent, and what is known of a body that is on its way. */
#include <signal.h>

#include "base/clock.h"
#include "http/http_client.h"
#include "peer.h"
#include "waker.h"

enum { BODY = 200000 };

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define LONG_MS 60000

struct source {
    char *data;
    size_t left;
    unsigned calls;
};

static enum io next_chunk(void *ctx, struct str *chunk, struct err *e)
{
    struct source *s = ctx;

    (void)e;
    s->calls++;
    if (s->left == 0)
        return IO_EOF;
    *chunk = (struct str){s->data, s->left};
    s->left = 0;
    return IO_DONE;
}

static struct http_call *new_call(struct http_client *client, const struct peer *peer,
                                  struct http_call_options *options)
{
    struct buf url = {0};
    struct err e = {0};

    buf_printf(&url, "http://127.0.0.1:%u/f?s", peer->port);
    options->url = buf_str(&url);
    options->method = STR("PUT");
    options->deadline_ms = CLOCK_NEVER_MS;
    struct http_call *call = http_call_new(client, options, waker_call, &waker, &e);
    assert_non_null(call);
    buf_free(&url);
    return call;
}

static enum io step_and_wait(struct http_call *call, struct err *e)
{
    enum io io = http_call_step(call, clock_now_ms(), e);

    if (io != IO_DONE && io != IO_ERR)
        waker_wait(&waker);
    return io;
}

static enum io run(struct http_call *call, struct err *e)
{
    enum io io;

    do
        io = step_and_wait(call, e);
    while (io != IO_DONE && io != IO_ERR);
    return io;
}

static void expectations(void **state)
{
#define REFUSE(status) "HTTP/1.1 " status "\r\nContent-Length: 3\r\n\r\nwhy"
    static const struct {
        const char *name;
        struct peer_step script[8];
        size_t size;
        int64_t expect_ms;
        int status;    /* 0: an error */
        size_t body;   /* bytes of it that the server got */
        bool is_asked; /* Expect is in the head */
    } cases[] = {
        {"wanted", {PEER_DO(HEAD), PEER_SAY(CONTINUE), PEER_TAKE(BODY), PEER_SAY(OK)}, BODY,
         LONG_MS, 200, BODY, true},
        {"wanted after other words",
         {PEER_DO(HEAD), PEER_SAY("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
          PEER_SAY(CONTINUE), PEER_TAKE(BODY), PEER_SAY(OK)},
         BODY, LONG_MS, 200, BODY, true},
        {"wanted, byte by byte",
         {PEER_DO(HEAD), {PEER_DRIP, CONTINUE, 0}, PEER_TAKE(BODY), PEER_SAY(OK)}, BODY, LONG_MS,
         200, BODY, true},
        {"silence", {PEER_DO(HEAD), PEER_TAKE(BODY), PEER_SAY(OK)}, BODY, 20, 200, BODY, true},
        {"the word comes late",
         {PEER_DO(HEAD), PEER_TAKE(BODY), PEER_SAY(CONTINUE), PEER_SAY(OK)}, BODY, 20, 200, BODY,
         true},
        {"refused", {PEER_DO(HEAD), PEER_SAY(REFUSE("403 Forbidden")), PEER_DO(DRAIN)}, BODY,
         LONG_MS, 403, 0, true},
        {"not understood",
         {PEER_DO(HEAD), PEER_SAY(REFUSE("417 Expectation Failed")), PEER_DO(DRAIN)}, BODY,
         LONG_MS, 417, 0, true},
        {"done without", {PEER_DO(HEAD), PEER_SAY(OK), PEER_DO(DRAIN)}, BODY, LONG_MS, 200, 0,
         true},
        {"hung up", {PEER_DO(HEAD), PEER_DO(CLOSE)}, BODY, LONG_MS, 0, 0, true},
        {"refused after the word",
         {PEER_DO(HEAD), PEER_SAY(CONTINUE), PEER_TAKE(BODY), PEER_SAY(REFUSE("500 Oh"))}, BODY,
         LONG_MS, 500, BODY, true},
        {"nothing to ask for", {PEER_DO(HEAD), PEER_SAY(OK)}, 0, LONG_MS, 200, 0, false},
        {"not to be asked", {PEER_DO(HEAD), PEER_TAKE(BODY), PEER_SAY(OK)}, BODY, 0, 200, BODY,
         false},
    };
    char *data = calloc(1, BODY);

    (void)state;
    for (size_t i = 0; i < 2 * UNIT_COUNT(cases); i++) {
        size_t n = i / 2;
        const char *name = cases[n].name;
        struct peer_step script[10] = {PEER_DO(ACCEPT)};
        struct source source = {.data = data, .left = cases[n].size};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct http_call_options options = {.expect_ms = cases[n].expect_ms};
        struct peer peer;
        struct err e = {0};
        if (i % 2 == 0) {
            options.source = next_chunk;
            options.body_size = (int64_t)source.left;
            options.ctx = &source;
        } else {
            options.body = (struct str){data, cases[n].size};
        }
        memcpy(script + 1, cases[n].script, sizeof cases[n].script);
        peer_start(&peer, script);
        struct http_call *call = new_call(client, &peer, &options);
        unit_true(name, run(call, &e) == (cases[n].status == 0 ? IO_ERR : IO_DONE));
        if (cases[n].status != 0)
            unit_true(name, http_call_head(call)->status == cases[n].status);
        else
            unit_true(name, e.code == ERR_NETWORK);
        if (cases[n].body == 0)
            unit_true(name, source.calls == 0); /* so the same source can be used again */
        http_call_free(call);
        http_client_free(client);
        peer_finish(&peer);
        const char *end = strstr(buf_cstr(&peer.log), "\r\n\r\n");
        assert_non_null(end);
        unit_true(name, peer.received - (size_t)(end + 4 - peer.log.data) == cases[n].body);
        unit_true(name, (strstr(peer.log.data, "\r\nExpect: 100-continue\r\n") != NULL) ==
                            cases[n].is_asked);
        peer_free(&peer);
    }
    free(data);
}

/* A kept connection that the server closed meanwhile costs no body: the call goes on a new one. */
static void a_stale_connection_is_replaced(void **state)
{
    static const struct peer_step script[] = {
        PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY(OK), PEER_DO(HEAD), PEER_DO(CLOSE),
        PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY(CONTINUE), PEER_TAKE(BODY), PEER_SAY(OK),
        PEER_DO(END)};
    char *data = calloc(1, BODY);
    struct source source = {.data = data, .left = BODY};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct http_call_options first = {0};
    struct http_call_options second = {
        .source = next_chunk, .body_size = BODY, .ctx = &source, .expect_ms = LONG_MS};
    struct peer peer;
    struct err e = {0};

    (void)state;
    peer_start(&peer, script);
    struct http_call *call = new_call(client, &peer, &first);
    assert_int_equal(run(call, &e), IO_DONE);
    http_call_free(call);
    call = new_call(client, &peer, &second);
    assert_int_equal(run(call, &e), IO_DONE);
    assert_int_equal(http_call_head(call)->status, 200);
    assert_int_equal(http_call_delivered(call), BODY);
    http_call_free(call);
    http_client_free(client);
    peer_finish(&peer);
    peer_free(&peer);
    free(data);
}

/* All of the body is written; when is the server, silent from now on, given up? */
static void silence_after_the_body(void **state)
{
    static const struct {
        const char *name;
        struct peer_step script[4];
        bool takes_it;
        int64_t after_ms;
        const char *want;
    } cases[] = {
        {"has it", {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_DO(DRAIN)}, true, 5000,
         "stalled: no byte for 20 s"},
        {"does not take it", {PEER_DO(ACCEPT), PEER_DO(DRAIN)}, false, 5000,
         "stalled: no byte for 5 s"},
    };
    enum { SIZE = 400000 };
    char *data = calloc(1, SIZE);

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const char *name = cases[i].name;
        struct source source = {.data = data, .left = SIZE};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct http_call_options options = {.source = next_chunk,
                                            .body_size = SIZE,
                                            .ctx = &source,
                                            .stall_ms = 5000,
                                            .answer_ms = 20000};
        struct peer peer;
        struct err e = {0};
        peer_start(&peer, cases[i].script);
        if (!cases[i].takes_it) /* the kernel connects, and takes what a window is large */
            assert_int_equal(kill(peer.process.pid, SIGSTOP), 0);
        struct http_call *call = new_call(client, &peer, &options);
        while (source.left > 0)
            assert_true(step_and_wait(call, &e) != IO_ERR);
        while (cases[i].takes_it && http_call_delivered(call) < SIZE)
            assert_true(step_and_wait(call, &e) != IO_ERR);
        /* A look may find that another part was taken after all. */
        int64_t now_ms = clock_now_ms();
        enum io io = http_call_step(call, now_ms, &e);
        for (int looks = 0; looks < 10 && io != IO_ERR; looks++)
            io = http_call_step(call, now_ms += cases[i].after_ms, &e);
        unit_true(name, io == IO_ERR && e.code == ERR_NETWORK);
        unit_true(name, strstr(e.msg, cases[i].want) != NULL);
        http_call_free(call);
        http_client_free(client);
        kill(peer.process.pid, SIGCONT);
        peer_free(&peer);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(expectations),
        WAKER_TEST(a_stale_connection_is_replaced),
        WAKER_TEST(silence_after_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
