/* HTTP calls against a scripted server: framings, answers at the wrong time, reuse, limits. */
#include "base/clock.h"
#include "base/version.h"
#include "http/http_client.h"
#include "peer.h"
#include "waker.h"

#define USUAL "Host: 127.0.0.1:PORT\r\nUser-Agent: kachery-resource/" VERSION "\r\n"
#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* One call's end: the status, or the error. */
struct result {
    int status;
    struct buf body;
    struct err e;
};

static void free_result(struct result *r)
{
    buf_free(&r->body);
}

static struct result perform(struct http_client *client, const struct peer *peer,
                             struct http_call_options options, const char *path)
{
    struct result r = {0};
    struct buf url = {0};

    buf_printf(&url, "http://127.0.0.1:%u%s", peer->port, path);
    options.url = buf_str(&url);
    if (options.method.len == 0)
        options.method = STR("GET");
    if (options.deadline_ms == 0)
        options.deadline_ms = clock_now_ms() + PEER_WAIT_MS;
    struct http_call *call = http_client_perform(client, &options, NULL, &r.e);
    if (call != NULL) {
        r.status = http_call_head(call)->status;
        buf_put(&r.body, http_call_body(call));
    }
    http_call_free(call);
    buf_free(&url);
    return r;
}

/* A request's text as the server got it, with its port as PORT. */
static void expect_request(const char *name, struct peer *peer, const char *want)
{
    struct buf text = {0};
    char port[16];
    const char *p;

    snprintf(port, sizeof port, "%u", peer->port);
    while ((p = strstr(want, "PORT")) != NULL) {
        buf_append(&text, want, (size_t)(p - want));
        buf_puts(&text, port);
        want = p + 4;
    }
    buf_puts(&text, want);
    unit_equal_str(name, buf_str(&peer->log), buf_str(&text));
    buf_free(&text);
}

static void requests_are_exact(void **state)
{
    static const struct http_header headers[] = {{{"X-One", 5}, {"1", 1}}, {{"Two", 3}, {"", 0}}};
    static const struct {
        const char *name, *method, *path, *body;
        size_t headers;
        const char *want;
    } cases[] = {
        {"get", "GET", "/a?b=c", "", 0, "GET /a?b=c HTTP/1.1\r\n" USUAL "\r\n"},
        {"no path", "GET", "", "", 0, "GET / HTTP/1.1\r\n" USUAL "\r\n"},
        {"headers", "GET", "/", "", 2, "GET / HTTP/1.1\r\n" USUAL "X-One: 1\r\nTwo: \r\n\r\n"},
        {"post", "POST", "/p", "{}", 1,
         "POST /p HTTP/1.1\r\n" USUAL "X-One: 1\r\nContent-Length: 2\r\n\r\n{}"},
        {"empty put", "PUT", "/p", "", 0, "PUT /p HTTP/1.1\r\n" USUAL "Content-Length: 0\r\n\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(HEAD),
                                           PEER_TAKE(strlen(cases[i].body)), PEER_SAY(OK),
                                           PEER_DO(END)};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct peer peer;
        peer_start(&peer, script);
        struct result r = perform(client, &peer,
                                  (struct http_call_options){.method = str_of(cases[i].method),
                                                             .body = str_of(cases[i].body),
                                                             .headers = headers,
                                                             .header_count = cases[i].headers},
                                  cases[i].path);
        unit_true(cases[i].name, r.status == 200);
        peer_finish(&peer);
        expect_request(cases[i].name, &peer, cases[i].want);
        free_result(&r);
        http_client_free(client);
        peer_free(&peer);
    }
}

static const struct {
    const char *name, *method, *answer;
    bool closes;
    int status; /* 0: an error */
    const char *want;
} answers[] = {
    {"length", "GET", OK, false, 200, "ok"},
    {"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, ""},
    {"chunked", "GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: r\r\n\r\n",
     false, 200, "abcde"},
    {"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nall of it", true, 200, "all of it"},
    {"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nold", true, 200, "old"},
    {"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, ""},
    {"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 304,
     ""},
    {"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", false, 200, ""},
    {"redirection", "GET", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nover",
     false, 302, "over"},
    {"error page", "GET", "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nwhy", false, 500, "why"},
    {"interim", "GET",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK, false, 200,
     "ok"},
#define INTERIM    "HTTP/1.1 102 Processing\r\n\r\n"
#define INTERIM_10 INTERIM INTERIM INTERIM INTERIM INTERIM INTERIM INTERIM INTERIM INTERIM INTERIM
    {"10 interim answers", "GET", INTERIM_10 OK, false, 200, "ok"},
    {"11 interim answers", "GET", INTERIM_10 INTERIM OK, false, 0, "more than 10 interim answers"},
    {"switch", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, 0,
     "the server changes the protocol unasked"},
    {"no answer", "GET", "", true, 0, "the server closed the connection without an answer"},
    {"cut head", "GET", "HTTP/1.1 200 OK\r\nContent-", true, 0,
     "the server closed the connection in the head of its answer"},
    {"cut body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", true, 0,
     "connection cut after 3 of 5 bytes"},
    {"cut refusal", "GET", "HTTP/1.1 403 No\r\nContent-Length: 500\r\n\r\nbecause", true, 403,
     "because"},
    {"cut redirection", "GET", "HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nabc", true, 302,
     "abc"},
    {"cut page", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<!DOCTYPE html>", true, 200,
     "<!DOCTYPE html>"},
    {"cut chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true,
     0, "connection cut after 3 bytes of a chunked body"},
    {"bad chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", false, 0,
     "malformed chunked body"},
    {"no HTTP", "GET", "SSH-2.0-OpenSSH_9.2\r\n\r\n", false, 0, ""},
    {"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
     false, 0, ""},
    {"too long", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n123456789012345678901", false,
     0, "the answer is longer than 20 bytes"},
    {"just fits", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345678901234567890", false,
     200, "12345678901234567890"},
    {"long error page", "GET",
     "HTTP/1.1 403 No\r\nContent-Length: 1000\r\n\r\n12345678901234567890123", false, 403,
     "12345678901234567890"},
};

static void answers_of_all_kinds(void **state)
{
    static const enum peer_kind ways[] = {PEER_SEND, PEER_DRIP};

    (void)state;
    for (size_t i = 0; i < 2 * UNIT_COUNT(answers); i++) {
        size_t n = i / 2;
        const struct peer_step script[] = {PEER_DO(ACCEPT),
                                           PEER_DO(HEAD),
                                           {ways[i % 2], answers[n].answer, 0},
                                           {answers[n].closes ? PEER_HALF_CLOSE : PEER_DRAIN, 0, 0},
                                           PEER_DO(DRAIN),
                                           PEER_DO(END)};
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct peer peer;
        peer_start(&peer, script);
        struct result r = perform(
            client, &peer,
            (struct http_call_options){.method = str_of(answers[n].method), .max_answer_bytes = 20},
            "/file?secret=1");
        unit_true(answers[n].name, r.status == answers[n].status);
        if (r.status != 0) {
            unit_equal_str(answers[n].name, buf_str(&r.body), str_of(answers[n].want));
        } else {
            unit_true(answers[n].name, strstr(r.e.msg, answers[n].want) != NULL);
            unit_true(answers[n].name, strncmp(r.e.msg, "GET http://127.0.0.1:", 21) == 0);
            unit_true(answers[n].name, strstr(r.e.msg, "secret") == NULL);
        }
        free_result(&r);
        http_client_free(client);
        peer_free(&peer);
    }
}

/* Several calls of one client, each expected to end like this. */
struct reuse_call {
    const char *method;
    int status;
    const char *error;
};

static void reuse(void **state)
{
#define ONE PEER_DO(HEAD), PEER_SAY(OK)
    static const struct {
        const char *name;
        struct peer_step script[12];
        struct reuse_call calls[4];
        size_t heads;
    } cases[] = {
        {"kept",
         {PEER_DO(ACCEPT), ONE, ONE, ONE, PEER_DO(END)}, //
         {{"GET", 200, ""}, {"POST", 200, ""}, {"GET", 200, ""}},
         3},
        {"closed by the head",
         {PEER_DO(ACCEPT), PEER_DO(HEAD),
          PEER_SAY("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
          PEER_DO(NEXT), ONE, PEER_DO(END)},
         {{"GET", 200, ""}, {"GET", 200, ""}},
         2},
        {"more than was asked for",
         {PEER_DO(ACCEPT), PEER_DO(HEAD),
          PEER_SAY("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Not yours\r\n\r\n"),
          PEER_DO(NEXT), ONE, PEER_DO(END)},
         {{"GET", 200, ""}, {"GET", 200, ""}},
         2},
        {"closed when it is used again",
         {PEER_DO(ACCEPT), ONE, PEER_DO(HEAD), PEER_DO(CLOSE), //
          PEER_DO(ACCEPT), ONE, PEER_DO(END)},
         {{"GET", 200, ""}, {"GET", 200, ""}},
         3},
        {"reset when it is used again",
         {PEER_DO(ACCEPT), ONE, PEER_DO(HEAD), PEER_DO(RESET), //
          PEER_DO(ACCEPT), ONE, PEER_DO(END)},
         {{"GET", 200, ""}, {"POST", 200, ""}},
         3},
        {"only once",
         {PEER_DO(ACCEPT), ONE, PEER_DO(HEAD), PEER_DO(CLOSE), //
          PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_DO(CLOSE), PEER_DO(END)},
         {{"GET", 200, ""}, {"GET", 0, "without an answer"}},
         3},
        {"a new one is not tried again",
         {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_DO(CLOSE), PEER_DO(END)},
         {{"GET", 0, "without an answer"}},
         1},
        {"not after a byte of the answer",
         {PEER_DO(ACCEPT), ONE, PEER_DO(HEAD), PEER_SAY("H"), PEER_DO(CLOSE), PEER_DO(END)},
         {{"GET", 200, ""}, {"GET", 0, "in the head"}},
         2},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
        struct peer peer;
        size_t heads = 0;
        peer_start(&peer, cases[i].script);
        for (const struct reuse_call *c = cases[i].calls; c->method != NULL; c++) {
            struct result r = perform(client, &peer,
                                      (struct http_call_options){.method = str_of(c->method)}, "/");
            unit_true(cases[i].name, r.status == c->status);
            if (r.status == 0)
                unit_true(cases[i].name,
                          strstr(r.e.msg, c->error) != NULL && r.e.code == ERR_NETWORK);
            free_result(&r);
        }
        peer_finish(&peer);
        for (const char *p = buf_cstr(&peer.log); (p = strstr(p, "HTTP/1.1\r\n")) != NULL; p++)
            heads++;
        unit_true(cases[i].name, heads == cases[i].heads);
        http_client_free(client);
        peer_free(&peer);
    }
}

static enum io one_byte(void *ctx, struct str *chunk, struct err *e)
{
    (void)ctx;
    (void)e;
    *chunk = STR("x");
    return IO_DONE;
}

/* The server closes while the connection is idle: the next call sees it and dials. Its body comes
 * from a source, so it could not be repeated. */
static void stale_connections_are_not_used(void **state)
{
    static const struct peer_step script[] = {
        PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY(OK), PEER_DO(CLOSE), PEER_DO(NOTE),
        PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_TAKE(1), PEER_SAY(OK),   PEER_DO(END)};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct peer peer;
    struct result r;

    (void)state;
    peer_start(&peer, script);
    r = perform(client, &peer, (struct http_call_options){0}, "/");
    assert_int_equal(r.status, 200);
    free_result(&r);
    peer_wait_note(&peer);
    r = perform(
        client, &peer,
        (struct http_call_options){.method = STR("PUT"), .source = one_byte, .body_size = 1}, "/");
    assert_int_equal(r.status, 200);
    free_result(&r);
    peer_finish(&peer);
    http_client_free(client);
    peer_free(&peer);
}

/* An HTTP proxy may close behind every answer without saying so: what cannot be sent again goes
 * over a new connection. */
static void a_source_gets_a_new_connection_to_a_proxy(void **state)
{
    static const struct peer_step script[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY(OK),
                                              PEER_DO(NEXT),   PEER_DO(HEAD), PEER_TAKE(1),
                                              PEER_SAY(OK),    PEER_DO(END)};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct buf url = {0};
    struct peer peer;

    (void)state;
    peer_start(&peer, script);
    buf_printf(&url, "http://127.0.0.1:%u", peer.port);
    setenv("http_proxy", buf_cstr(&url), 1);
    for (int i = 0; i < 2; i++) {
        struct http_call_options options = {.method = i == 0 ? STR("GET") : STR("PUT"),
                                            .source = i == 0 ? NULL : one_byte,
                                            .body_size = 1};
        struct result r = perform(client, &peer, options, "/x");
        assert_int_equal(r.status, 200);
        free_result(&r);
    }
    unsetenv("http_proxy");
    peer_finish(&peer);
    unit_true("absolute form", strstr(buf_cstr(&peer.log), "PUT http://127.0.0.1:") != NULL);
    http_client_free(client);
    buf_free(&url);
    peer_free(&peer);
}

static void urls_are_checked(void **state)
{
    static const struct {
        const char *url, *want;
    } cases[] = {
        {"ws://example.org/", "ws://example.org/: want http:// or https://"},
        {"http://me:pw@example.org/", "a URL of example.org has a user name: want one without"},
    };

    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct err e = {0};
        struct http_call_options options = {.method = STR("GET"), .url = str_of(cases[i].url)};
        unit_true(cases[i].url, http_call_new(client, &options, waker_call, &waker, &e) == NULL);
        unit_equal(cases[i].url, e.msg, cases[i].want);
        unit_true(cases[i].url, e.code == ERR_USAGE);
    }
    http_client_free(client);
}

static void nothing_is_injected(void **state)
{
    static const struct http_header bad = {{"X", 1}, {"1\r\nY: 2", 7}};
    struct http_call_options options = {
        .method = STR("GET"), .url = STR("http://a/"), .headers = &bad, .header_count = 1};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct err e = {0};

    (void)state;
    assert_null(http_call_new(client, &options, waker_call, &waker, &e));
    assert_true(e.msg[0] != '\0');
    http_client_free(client);
}

/* A connection that the server closes while it is idle is closed by us too, as soon as the loop
 * runs; another stays. */
static void idle_connections_are_watched(void **state)
{
    static const struct peer_step closing[] = {PEER_DO(ACCEPT),     PEER_DO(HEAD),  PEER_SAY(OK),
                                               PEER_DO(HALF_CLOSE), PEER_DO(DRAIN), PEER_DO(END)};
    static const struct peer_step quiet[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY(OK),
                                             PEER_DO(HEAD),   PEER_SAY(OK),  PEER_DO(END)};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct peer peers[2];

    (void)state;
    peer_start(&peers[0], closing);
    peer_start(&peers[1], quiet);
    for (int i = 0; i < 2; i++) {
        struct result r = perform(client, &peers[i], (struct http_call_options){0}, "/");
        assert_int_equal(r.status, 200);
        free_result(&r);
    }
    struct pollfd p = {.fd = peers[0].process.fd, .events = POLLIN};
    for (int64_t until = clock_now_ms() + PEER_WAIT_MS; poll(&p, 1, 0) == 0;) {
        assert_true(clock_now_ms() < until);
        waker_wait_ms(&waker, 5);
    }
    peer_finish(&peers[0]);
    struct result r = perform(client, &peers[1], (struct http_call_options){0}, "/");
    assert_int_equal(r.status, 200);
    free_result(&r);
    peer_finish(&peers[1]);
    http_client_free(client);
    peer_free(&peers[0]);
    peer_free(&peers[1]);
}

/* Two calls; the first is never answered. */
struct pair {
    struct http_call *calls[2];
    enum io ends[2];
};

static void step_both(void *owner)
{
    struct pair *p = owner;
    struct err e = {0};

    for (int i = 0; i < 2; i++)
        if (p->ends[i] != IO_DONE)
            p->ends[i] = http_call_step(p->calls[i], clock_now_ms(), &e);
}

static bool is_second_over(void *owner)
{
    const struct pair *p = owner;

    return p->ends[1] == IO_DONE || p->ends[1] == IO_ERR;
}

/* Two calls in one loop: neither waits for the other, and nothing happens inside of the start. */
static void calls_side_by_side(void **state)
{
    static const struct peer_step deaf[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_DO(NOTE),
                                            PEER_DO(DRAIN), PEER_DO(END)};
    static const struct peer_step quick[] = {PEER_DO(ACCEPT), PEER_DO(HEAD), PEER_SAY(OK),
                                             PEER_DO(END)};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct pair pair = {.ends = {IO_WANT_READ, IO_WANT_READ}};
    struct peer peers[2];
    struct err e = {0};

    (void)state;
    peer_start(&peers[0], deaf);
    peer_start(&peers[1], quick);
    for (int i = 0; i < 2; i++) {
        struct buf url = {0};
        buf_printf(&url, "http://127.0.0.1:%u/", peers[i].port);
        const struct http_call_options options = {
            .method = STR("GET"), .url = buf_str(&url), .deadline_ms = CLOCK_NEVER_MS};
        pair.calls[i] = http_call_new(client, &options, step_both, &pair, &e);
        assert_non_null(pair.calls[i]);
        buf_free(&url);
    }
    assert_int_equal(loop_run_until(waker.loop, is_second_over, &pair, &e), 0);
    assert_int_equal(pair.ends[1], IO_DONE);
    peer_wait_note(&peers[0]);
    assert_int_equal(pair.ends[0], IO_WANT_READ);
    for (int i = 0; i < 2; i++)
        http_call_free(pair.calls[i]);
    http_client_free(client);
    peer_free(&peers[0]);
    peer_free(&peers[1]);
}

static void nobody_there(void **state)
{
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct peer peer;
    static const struct peer_step script[] = {PEER_DO(END)};
    char want[128];

    (void)state;
    peer_start(&peer, script);
    peer_finish(&peer); /* nobody listens any more */
    struct result r = perform(client, &peer, (struct http_call_options){0}, "/x?y");
    snprintf(want, sizeof want,
             "GET http://127.0.0.1:%u/x?…: cannot connect to 127.0.0.1:%u: Connection refused",
             peer.port, peer.port);
    unit_equal("refused", r.e.msg, want);
    assert_int_equal(r.e.code, ERR_NETWORK);
    free_result(&r);
    http_client_free(client);
    peer_free(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKER_TEST(requests_are_exact),
        WAKER_TEST(answers_of_all_kinds),
        WAKER_TEST(reuse),
        WAKER_TEST(stale_connections_are_not_used),
        WAKER_TEST(a_source_gets_a_new_connection_to_a_proxy),
        WAKER_TEST(urls_are_checked),
        WAKER_TEST(nothing_is_injected),
        WAKER_TEST(idle_connections_are_watched),
        WAKER_TEST(calls_side_by_side),
        WAKER_TEST(nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
