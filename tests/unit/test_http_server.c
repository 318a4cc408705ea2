/* Requests in every split, limits, deadlines, leaving the server. */
#include "http_world.h"

enum { MAX_BODY = 20 };

/* ---- routes of the tests ---- */

static void answer_text(struct http_conn *conn, struct str text)
{
    http_conn_answer(
        conn, &(struct http_answer){.status = 200, .content_type = "text/plain", .body = text});
}

static void on_hello(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    answer_text(conn, STR("hello"));
}

static void on_echo(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf text = {0};

    (void)owner;
    buf_printf(&text, "%.*s?%.*s=%.*s", STR_ARG(request->path), STR_ARG(request->query),
               STR_ARG(request->body));
    answer_text(conn, buf_str(&text));
    buf_free(&text);
}

static void on_early(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer_message(conn, 403, "no");
}

static void note_gone(void *ctx)
{
    struct http_world *w = ctx;

    w->gone++;
    w->waiting = NULL;
    world_stop(w);
}

static void on_wait(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct http_world *w = owner;

    (void)request;
    w->waiting = conn;
    http_conn_wait(conn, note_gone, w);
}

/* Answers what waits from outside of its handler, as a daemon's message does. */
static void on_release(void *owner)
{
    struct http_world *w = owner;

    if (w->waiting != NULL)
        answer_text(w->waiting, STR("late"));
    w->waiting = NULL;
}

static void on_stream_data(void *ctx, struct http_conn *conn, struct str data)
{
    struct http_world *w = ctx;

    buf_put(&w->streamed, data);
    if (w->streamed.len > MAX_BODY)
        http_conn_answer_message(conn, 507, "full");
}

static void on_stream_end(void *ctx, struct http_conn *conn)
{
    struct http_world *w = ctx;

    w->streamed_ends++;
    answer_text(conn, buf_str(&w->streamed));
}

static void on_stream(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct http_world *w = owner;
    struct http_sink sink = {on_stream_data, on_stream_end, note_gone, w};

    (void)request;
    buf_clear(&w->streamed);
    http_conn_stream(conn, &sink);
}

static void on_detach(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct http_world *w = owner;

    (void)request;
    w->detached_fd = http_conn_detach_fd(conn, &w->detached);
    world_stop(w);
}

static void on_file(struct http_conn *conn, const struct http_request *request, void *owner)
{
    int fd = fileno(tmpfile());

    (void)request;
    (void)owner;
    assert_int_equal(write(fd, "0123456789", 10), 10);
    http_conn_answer_file(conn, &(struct http_answer){.status = 206}, dup(fd), 2, 5);
}

static void on_root(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf text = {0};

    (void)owner;
    buf_printf(&text, "root?%.*s", STR_ARG(request->query));
    answer_text(conn, buf_str(&text));
    buf_free(&text);
}

static void on_socket(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer(conn, &(struct http_answer){.status = 403, .body = STR("socket")});
}

/* An answer of which memory ran out for a part. */
static void on_want(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf made = {0};

    (void)request;
    (void)owner;
    buf_puts(&made, "half an ans");
    made.failed = true;
    http_conn_answer(conn, &(struct http_answer){.status = 200, .made = &made});
    buf_free(&made);
}

static struct http_route routes[] = {
    {"GET", "/", 0, on_root, NULL, false, false, NULL},
    {"UPGRADE", "*", 0, on_socket, NULL, false, false, NULL},
    {"GET", "/hello", 0, on_hello, NULL, false, false, NULL},
    {"POST", "/echo/", MAX_BODY, on_echo, NULL, false, false, NULL},
    {"*", "/early", 0, NULL, on_early, false, false, NULL},
    {"GET", "/wait", 0, on_wait, NULL, false, false, NULL},
    {"PUT", "/stream", 0, NULL, on_stream, false, false, NULL},
    {"GET", "/detach", 0, NULL, on_detach, true, false, NULL},
    {"GET", "/file", 0, NULL, on_file, false, false, NULL},
    {"GET", "/want", 0, on_want, NULL, false, false, NULL},
};

/* `line`: in memory; NULL: a socket. */
static void open_world_over(struct http_world *w, const struct world_line *line)
{
    for (size_t i = 0; i < UNIT_COUNT(routes); i++)
        routes[i].owner = w;
    w->options.routes = routes;
    w->options.route_count = UNIT_COUNT(routes);
    if (w->options.times.idle_ms == 0)
        w->options.times = http_server_times();
    if (line != NULL)
        world_open_line(w, line);
    else
        world_open(w);
}

static void open_world(struct http_world *w)
{
    open_world_over(w, NULL);
}

/* ---- whole, byte by byte, at every two-way split ---- */

#define H     " HTTP/1.1\r\nHost: h\r\n"
#define CLOSE "Connection: close\r\n"

static const struct talk_case {
    const char *name, *text, *want;
    bool is_head;
} talk_cases[] = {
    {"get", "GET /hello" H CLOSE "\r\n", "200 hello", false},
    {"head", "HEAD /hello" H CLOSE "\r\n", "200", true},
    {"answer that could not be made", "GET /want" H "\r\nGET /hello" H CLOSE "\r\n",
     "500 Error: out of memory | 200 hello", false},
    {"absolute form", "GET http://x/hello" H CLOSE "\r\n", "200 hello", false},
    {"absolute form, query without path", "GET http://h?x" H CLOSE "\r\n", "200 root?x", false},
    {"unknown method", "BREW /hello" H CLOSE "\r\n",
     "501 {\"message\":\"method BREW is not known here\"}", false},
    {"method in small letters", "get /hello" H CLOSE "\r\n",
     "501 {\"message\":\"method get is not known here\"}", false},
    {"unknown method, unknown path, then more", "BREW /nothing" H "\r\nGET /hello" H CLOSE "\r\n",
     "501 {\"message\":\"method BREW is not known here\"} | 200 hello", false},
    {"method of another route", "PUT /hello" H CLOSE "\r\n",
     "405 {\"message\":\"method PUT is not allowed here: want one of GET, HEAD, OPTIONS\"}", false},
    {"method of another route, with a body",
     "DELETE /echo/x" H "Content-Length: 3\r\n\r\nabcGET /hello" H CLOSE "\r\n",
     "405 {\"message\":\"method DELETE is not allowed here: want one of POST, OPTIONS\"} | "
     "200 hello",
     false},
    {"head where there is no get", "HEAD /echo/x" H CLOSE "\r\n", "405", true},
    {"options", "OPTIONS /hello" H CLOSE "\r\n", "204", false},
    {"options of the server", "OPTIONS *" H CLOSE "\r\n", "204", false},
    {"connect", "CONNECT h:1" H CLOSE "\r\n",
     "405 {\"message\":\"method CONNECT is not allowed here: want one of GET, HEAD, POST, PUT, "
     "OPTIONS\"}",
     false},
    {"upgrade to something else",
     "GET /hello" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
     "HTTP2-Settings: AAMAAABk\r\n\r\nGET /hello" H CLOSE "\r\n",
     "200 hello | 200 hello", false},
    {"upgrade to something else of a body",
     "POST /echo/" H CLOSE "Connection: upgrade\r\nUpgrade: TLS/1.0\r\nContent-Length: 1\r\n\r\nx",
     "200 /echo/?=x", false},
    {"websocket goes before other routes",
     "GET /hello" H CLOSE "Connection: upgrade\r\nUpgrade: foo, WebSocket\r\n\r\n", "403 socket",
     false},
    {"http/1.0", "GET /hello HTTP/1.0\r\n\r\n", "200 hello", false},
    {"query", "POST /echo/a?b=c" H CLOSE "Content-Length: 2\r\n\r\nhi", "200 /echo/a?b=c=hi",
     false},
    {"body at the limit", "POST /echo/" H CLOSE "Content-Length: 20\r\n\r\n01234567890123456789",
     "200 /echo/?=01234567890123456789", false},
    {"body above the limit", "POST /echo/" H "Content-Length: 21\r\n\r\n",
     "413 {\"message\":\"request body too large\"}", false},
    {"no body", "POST /echo/" H CLOSE "\r\n", "200 /echo/?=", false},
    {"chunked",
     "POST /echo/" H CLOSE "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
     "200 /echo/?=hi!", false},
    {"chunked above the limit",
     "POST /echo/" H "Transfer-Encoding: chunked\r\n\r\n15\r\n012345678901234567890\r\n0\r\n\r\n",
     "413 {\"message\":\"request body too large\"}", false},
    {"pipelined",
     "GET /hello" H "\r\nPOST /echo/" H "Content-Length: 1\r\n\r\nxGET /hello" H CLOSE "\r\n",
     "200 hello | 200 /echo/?=x | 200 hello", false},
    {"kept after a 404 with a body",
     "POST /nothing" H "Content-Length: 3\r\n\r\nabcGET /hello" H CLOSE "\r\n",
     "404 <!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta "
     "charset=\"utf-8\">\n<title>Error</title>\n"
     "</head>\n<body>\n<h1>Error</h1>\n<p>Cannot POST /nothing</p>\n</body>\n</html>\n | 200 hello",
     false},
    {"early answer", "PUT /early" H CLOSE "Content-Length: 3\r\n\r\nabc",
     "403 {\"message\":\"no\"}", false},
    {"stream", "PUT /stream" H "Content-Length: 5\r\n\r\nabcdeGET /hello" H CLOSE "\r\n",
     "200 abcde | 200 hello", false},
    {"stream of nothing", "PUT /stream" H CLOSE "Content-Length: 0\r\n\r\n", "200", false},
    {"stream chunked",
     "PUT /stream" H CLOSE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "200 abc",
     false},
    {"stream answered early",
     "PUT /stream" H "Content-Length: 30\r\n\r\n012345678901234567890123456789",
     "507 {\"message\":\"full\"}", false},
    {"file", "GET /file" H "\r\nGET /hello" H CLOSE "\r\n", "206 23456 | 200 hello", false},
    {"file for head", "HEAD /file" H CLOSE "\r\n", "206", true},
    {"file for a request with a body",
     "GET /file" H "Content-Length: 2\r\n\r\nhiGET /hello" H CLOSE "\r\n", "206 23456 | 200 hello",
     false},
    {"not HTTP", "HELLO\r\n\r\n", "400 ", false},
    {"length and chunked",
     "POST /echo/" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 ",
     false},
    {"bad chunk", "POST /echo/" H "Transfer-Encoding: chunked\r\n\r\nx\r\n", "400 ", false},
    {"bad chunk in a stream", "PUT /stream" H "Transfer-Encoding: chunked\r\n\r\nx\r\n", "400 ",
     false},
    {"version", "GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", "505 ", false},
    {"the second is not HTTP", "GET /hello" H "\r\n\x01\r\n\r\n", "200 hello | 400 ", false},
};

/* Where `want` ends with a space after a status, the words are free. */
static void check_talk(const struct talk_case *c, const struct world_line *line, size_t first,
                       size_t piece)
{
    struct http_world w = {0};
    struct buf summary = {0};
    size_t length = strlen(c->want);
    struct str got;

    open_world_over(&w, line);
    world_talk(&w, c->name, str_of(c->text), first, piece);
    if (!w.is_ended)
        world_run(&w, c->name); /* it was stopped by note_gone */
    world_summary(&w, c->is_head, &summary);
    got = buf_str(&summary);
    if (c->want[length - 1] == ' ')
        got = str_slice(got, 0, length);
    unit_equal_str(c->name, got, str_of(c->want));
    unit_true(c->name, w.is_ended);
    world_close(&w);
    buf_free(&summary);
}

static void test_talk(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(talk_cases); i++) {
        size_t length = strlen(talk_cases[i].text);
        check_talk(&talk_cases[i], NULL, 0, length);
        check_talk(&talk_cases[i], NULL, 0, 1);
        for (size_t first = 1; first < length; first++)
            check_talk(&talk_cases[i], NULL, first, length);
    }
}

static const struct world_line lines[] = {
    {.name = "wide"},
    {.name = "the server reads single bytes", .server = {.read_bytes = 1}},
    {.name = "the server writes single bytes", .server = {.write_bytes = 1}},
    {.name = "one byte is on its way", .client = {.capacity = 1}, .server = {.capacity = 1}},
    {"narrow", {.read_bytes = 2, .write_bytes = 5, .capacity = 7}, {3, 5, 64}},
};

static void test_talk_in_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(talk_cases); i++) {
        size_t length = strlen(talk_cases[i].text);
        for (size_t l = 0; l < UNIT_COUNT(lines); l++) {
            check_talk(&talk_cases[i], &lines[l], 0, length);
            check_talk(&talk_cases[i], &lines[l], 0, 1);
        }
        for (size_t first = 1; first < length; first++)
            check_talk(&talk_cases[i], &lines[0], first, length);
    }
}

static void test_continue(void **state)
{
    struct http_world w = {0};
    struct str interim = STR("HTTP/1.1 100 Continue\r\n\r\n");
    struct buf summary = {0};

    (void)state;
    open_world(&w);
    w.stop_after = interim.len;
    world_talk(&w, "head",
               STR("POST /echo/" H CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"), 0,
               500);
    unit_equal_str("interim", buf_str(&w.got), interim);
    buf_clear(&w.got);
    w.stop_after = 0;
    world_talk(&w, "body", STR("hi"), 0, 2);
    world_summary(&w, false, &summary);
    unit_equal("answer", buf_cstr(&summary), "200 /echo/?=hi");
    world_close(&w);
    buf_free(&summary);
}

/* A route that says no does not invite the body, and the connection ends. */
static void test_no_continue(void **state)
{
    struct http_world w = {0};
    struct buf summary = {0};

    (void)state;
    open_world(&w);
    world_talk(&w, "early", STR("PUT /early" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
               0, 500);
    world_summary(&w, false, &summary);
    unit_equal("answer", buf_cstr(&summary), "403 {\"message\":\"no\"}");
    world_close(&w);
    buf_free(&summary);
}

/* ---- waiting ---- */

static void test_late_answer(void **state)
{
    struct http_world w = {0};
    struct loop_timer release = {.call = on_release, .owner = &w};
    struct buf summary = {0};

    (void)state;
    open_world(&w);
    loop_set_timer(w.loop, &release, clock_now_ms() + WORLD_SHORT_MS);
    world_talk(&w, "late", STR("GET /wait" H "\r\nGET /hello" H CLOSE "\r\n"), 0, 500);
    world_summary(&w, false, &summary);
    unit_equal("in order", buf_cstr(&summary), "200 late | 200 hello");
    assert_int_equal(w.gone, 0);
    world_close(&w);
    buf_free(&summary);
}

/* The same, and what the client has before the round ends; -1 where it has hung up before. */
static ssize_t release_at_once(struct http_world *w)
{
    struct http_conn *conn = w->waiting;
    char data[500];

    w->waiting = NULL;
    answer_text(conn, STR("now"));
    http_conn_write_answer(conn);
    return recv(w->client.fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
}

static void on_release_at_once(void *owner)
{
    assert_true(release_at_once(owner) > 0);
}

static void on_hang_up(void *owner)
{
    struct http_world *w = owner;

    loop_remove(w->loop, &w->client);
    close(w->client.fd);
    w->client.fd = -1;
    assert_int_equal(release_at_once(w), -1);
    assert_int_equal(http_server_count(w->server), 0);
    world_stop(w);
}

static void test_answer_at_once(void **state)
{
    struct http_world w = {0};
    struct loop_timer release = {.call = on_release_at_once, .owner = &w};
    struct buf summary = {0};

    (void)state;
    open_world(&w);
    loop_set_timer(w.loop, &release, clock_now_ms() + WORLD_SHORT_MS);
    world_talk(&w, "at once", STR("GET /wait" H "\r\nGET /hello" H CLOSE "\r\n"), 0, 500);
    world_summary(&w, false, &summary);
    unit_equal("in order", buf_cstr(&summary), "200 now | 200 hello");
    world_close(&w);
    buf_free(&summary);

    w = (struct http_world){0};
    release = (struct loop_timer){.call = on_hang_up, .owner = &w};
    open_world(&w);
    assert_int_equal(send(w.client.fd, "GET /wait" H "\r\n", strlen("GET /wait" H "\r\n"), 0),
                     (int)strlen("GET /wait" H "\r\n"));
    loop_set_timer(w.loop, &release, clock_now_ms() + WORLD_SHORT_MS);
    world_run(&w, "to a client that hangs up");
    world_close(&w);
}

static void test_client_gone(void **state)
{
    static const char *const texts[] = {"GET /wait" H "\r\n",
                                        "PUT /stream" H "Content-Length: 9\r\n\r\nabc"};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        struct http_world w = {0};
        struct str text = str_of(texts[i]);
        open_world(&w);
        assert_int_equal(send(w.client.fd, text.p, text.len, 0), (int)text.len);
        shutdown(w.client.fd, SHUT_WR);
        world_run(&w, texts[i]);
        assert_int_equal(w.gone, 1);
        assert_int_equal(w.streamed_ends, 0);
        assert_int_equal(http_server_count(w.server), 0);
        world_close(&w);
    }
}

/* Who shuts down its side after asking still gets what is already answered. */
static void test_half_close(void **state)
{
    struct http_world w = {0};
    struct str text = STR("GET /hello" H "\r\n");
    struct buf summary = {0};

    (void)state;
    open_world(&w);
    assert_int_equal(send(w.client.fd, text.p, text.len, 0), (int)text.len);
    shutdown(w.client.fd, SHUT_WR);
    world_run(&w, "half-close");
    world_summary(&w, false, &summary);
    unit_equal("answer", buf_cstr(&summary), "200 hello");
    world_close(&w);
    buf_free(&summary);
}

/* ---- deadlines: each state of a client that says or reads nothing more ---- */

static const struct slow_case {
    const char *name, *text, *want;
    int gone;
} slow_cases[] = {
    {"idle from the start", "", "", 0},
    {"idle after an answer", "GET /hello" H "\r\n", "200 hello", 0},
    {"head", "GET /hello HTT", "408 {\"message\":\"the request was not complete in time\"}", 0},
    {"body", "POST /echo/" H "Content-Length: 9\r\n\r\nabc",
     "408 {\"message\":\"the request was not complete in time\"}", 0},
    {"stream", "PUT /stream" H "Content-Length: 9\r\n\r\nabc",
     "408 {\"message\":\"the request was not complete in time\"}", 1},
    {"skipped body", "POST /early" H "Content-Length: 9\r\n\r\nabc",
     "403 {\"message\":\"no\"} | 408 {\"message\":\"the request was not complete in time\"}", 0},
};

static void test_slow(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(slow_cases); i++) {
        const struct slow_case *c = &slow_cases[i];
        struct http_world w = {0};
        struct buf summary = {0};
        w.options.times = (struct http_times){WORLD_SHORT_MS, WORLD_SHORT_MS, WORLD_SHORT_MS,
                                              WORLD_SHORT_MS, WORLD_SHORT_MS, WORLD_SHORT_MS};
        open_world(&w);
        world_talk(&w, c->name, str_of(c->text), 0, 500);
        if (!w.is_ended)
            world_run(&w, c->name); /* it was stopped by note_gone */
        world_summary(&w, false, &summary);
        unit_equal(c->name, buf_cstr(&summary), c->want);
        unit_true(c->name, w.gone == c->gone);
        world_close(&w);
        buf_free(&summary);
    }
}

/* The same with the product's times, to the millisecond, on a clock that jumps. `every_ms`: after
 * the text a byte of `trickle` follows so often. */
static const struct late_case {
    const char *name, *text, *trickle;
    int64_t every_ms, ends_ms;
    const char *want;
    int gone;
} late_cases[] = {
    {"idle from the start", "", "", 0, 75000, "", 0},
    {"idle after an answer", "GET /hello" H "\r\n", "", 0, 75000, "200 hello", 0},
    {"idle, with empty lines", "", "\r\n\r\n\r\n", 9000, 20000, "408 ", 0},
    {"head", "GET /hello HTT", "", 0, 20000, "408 ", 0},
    {"head that trickles", "G", "ET /hello HTTP/1.1", 3000, 20000, "408 ", 0},
    {"body", "POST /echo/" H "Content-Length: 9\r\n\r\n", "", 0, 30000, "408 ", 0},
    {"body that trickles", "POST /echo/" H "Content-Length: 20\r\n\r\n", "0123456789", 4000,
     30000, "408 ", 0},
    {"body in chunks", "POST /echo/" H "Transfer-Encoding: chunked\r\n\r\n1\r", "", 0, 30000,
     "408 ", 0},
    {"stream that stalls", "PUT /stream" H "Content-Length: 9\r\n\r\nabc", "", 0, 60000, "408 ", 1},
    {"stream that trickles", "PUT /stream" H "Content-Length: 20\r\n\r\n", "0123456789", 7000,
     60000, "408 ", 1},
    {"skipped body", "POST /early" H "Content-Length: 9\r\n\r\nabc", "", 0, 30000,
     "403 {\"message\":\"no\"} | 408 ", 0},
};

static void test_late(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(late_cases); i++) {
        const struct late_case *c = &late_cases[i];
        struct http_world w = {0};
        struct buf summary = {0}, text = {0};
        open_world_over(&w, &lines[0]);
        buf_printf(&text, "%s%s", c->text, c->trickle);
        w.feed_every_ms = c->every_ms;
        world_talk(&w, c->name, buf_str(&text), strlen(c->text), 1);
        if (!w.is_ended)
            world_run(&w, c->name); /* it was stopped by note_gone */
        world_summary(&w, false, &summary);
        unit_equal_str(c->name, str_slice(buf_str(&summary), 0, strlen(c->want)), str_of(c->want));
        unit_true(c->name, w.ended_ms - 1000 == c->ends_ms);
        unit_true(c->name, w.gone == c->gone);
        world_close(&w);
        buf_free(&summary);
        buf_free(&text);
    }
}

static void on_all_closed(void *owner, uint64_t tag)
{
    struct http_world *w = owner;

    assert_int_equal(tag, WORLD_TAG);
    w->ended_ms = loop_now_ms(w->loop);
    world_stop(w);
}

/* After its last answer a client has 2 s to close, and 60 s while it still sends. */
static void test_linger(void **state)
{
    static const struct {
        const char *name, *behind;
        int64_t every_ms, ends_ms;
    } cases[] = {{"says nothing more", "", 0, 2000},
                 {"still sends now and then", "abcdef", 1500, 6 * 1500 + 2000},
                 {"still sends after a minute",
                  "0123456789012345678901234567890123456789012345678901234567890123456789", 1500,
                  60000}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct http_world w = {.options = {.on_closed = on_all_closed, .owner = &w}};
        struct buf text = {0}, summary = {0};
        open_world_over(&w, &lines[0]);
        buf_printf(&text, "GET /hello" H CLOSE "\r\n%s", cases[i].behind);
        w.feed_every_ms = cases[i].every_ms;
        world_talk(&w, cases[i].name, buf_str(&text), text.len - strlen(cases[i].behind), 1);
        assert_true(w.is_ended); /* the answer and the end come at once */
        w.ended_ms = 0;
        world_run(&w, cases[i].name);
        unit_true(cases[i].name, w.ended_ms - 1000 == cases[i].ends_ms);
        world_summary(&w, false, &summary);
        unit_equal(cases[i].name, buf_cstr(&summary), "200 hello");
        assert_int_equal(http_server_count(w.server), 0);
        world_close(&w);
        buf_free(&text);
        buf_free(&summary);
    }
}

static void on_taste(void *owner)
{
    struct http_world *w = owner;
    struct err e = {0};
    char byte;
    size_t n = 0;

    if (stream_read(w->line, &byte, 1, &n, &e) == IO_DONE)
        w->streamed_ends++;
    if (w->streamed_ends < 5)
        loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop) + 50000);
}

/* A reader that takes nothing for a minute is dropped, to the millisecond; a byte now and then
 * keeps it, also beyond the time of idle connections. */
static void test_deaf(void **state)
{
    static const struct world_line line = {.client = {.capacity = 10}};

    (void)state;
    for (int takes_some = 0; takes_some < 2; takes_some++) {
        struct http_world w = {.options = {.on_closed = on_all_closed, .owner = &w},
                               .is_deaf = true};
        struct str request = STR("GET /hello" H "\r\n");
        open_world_over(&w, &line);
        assert_int_equal(world_send(&w, request), (int)request.len);
        if (takes_some) {
            w.feeder.call = on_taste;
            loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop) + 50000);
        }
        world_run(&w, "deaf");
        assert_int_equal(w.ended_ms - 1000, takes_some ? 5 * 50000 + 60000 : 60000);
        assert_int_equal(http_server_count(w.server), 0);
        world_close(&w);
    }
}

/* ---- clients that break off, at every byte of what they say ---- */

static void test_abort(void **state)
{
    static const struct {
        const char *text;
        bool has_owner; /* behind its head: of the body, or of the answer that is to come */
    } cases[] = {{"GET /wait" H "\r\n", true},
                 {"PUT /stream" H "Content-Length: 19\r\n\r\nabcdef", true},
                 {"PUT /stream" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nd", true},
                 {"POST /echo/" H "Content-Length: 9\r\n\r\nabcdef", false},
                 {"POST /echo/" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1", false},
                 {"POST /early" H "Content-Length: 9\r\n\r\nabcdef", false}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct str text = str_of(cases[i].text);
        size_t head = (size_t)(strstr(cases[i].text, "\r\n\r\n") - cases[i].text) + 4;
        for (size_t n = 1; n <= text.len; n++) {
            for (int is_reset = 0; is_reset < 2; is_reset++) {
                struct http_world w = {.options = {.on_closed = on_all_closed, .owner = &w}};
                open_world_over(&w, &lines[0]);
                assert_int_equal(world_send(&w, str_slice(text, 0, n)), (int)n);
                world_rounds(&w, 3);
                if (is_reset)
                    stream_memory_reset(w.line);
                else
                    stream_end(w.line);
                while (http_server_count(w.server) > 0)
                    world_run(&w, cases[i].text);
                unit_true(cases[i].text, w.gone == (cases[i].has_owner && n >= head));
                unit_true(cases[i].text, w.ended_ms - 1000 < 75000); /* not by a deadline alone */
                assert_int_equal(w.streamed_ends, 0);
                world_close(&w);
            }
        }
    }
}

/* Answers pile up for a client that does not read: no more of its requests are read, and then it is
 * dropped. */
static void test_slow_reader(void **state)
{
    struct str text = STR("GET /hello" H "\r\n");
    struct http_world w = {0};
    struct buf flood = {0};

    (void)state;
    w.options.times = http_server_times();
    w.options.times.write_ms = WORLD_SHORT_MS;
    w.options.on_closed = on_all_closed;
    w.options.owner = &w;
    open_world(&w);
    loop_change(w.loop, &w.client, 0);
    for (int i = 0; i < 200000; i++)
        buf_put(&flood, text);
    w.to_send = buf_str(&flood);
    w.piece = 65536;
    loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
    world_run(&w, "slow reader");
    assert_int_equal(http_server_count(w.server), 0);
    assert_true(w.to_send.len > 0);
    world_close(&w);
    buf_free(&flood);
}

/* ---- leaving, the end ---- */

static void test_detach(void **state)
{
    struct http_world w = {0};
    struct str text = STR("GET /detach" H "\r\nGET /hello" H "\r\n");
    struct buf all = {0};

    (void)state;
    for (size_t first = 1; first < text.len; first++) {
        w = (struct http_world){0};
        open_world(&w);
        buf_clear(&all);
        buf_puts(&all, "GET /hello" H "\r\n");
        buf_put(&all, text);
        w.to_send = buf_str(&all);
        world_talk(&w, "detach", buf_str(&all), first, 500);
        /* The answer before it is written, everything from its own head on is handed out. */
        unit_equal_str("bytes", buf_str(&w.detached), str_slice(text, 0, w.detached.len));
        unit_true("head", w.detached.len >= sizeof("GET /detach" H "\r\n") - 1);
        assert_int_equal(http_server_count(w.server), 0);
        assert_true(w.detached_fd >= 0);
        close(w.detached_fd);
        w.detached_fd = -1;
        world_run(&w, "answer");
        assert_true(str_starts_with(buf_str(&w.got), STR("HTTP/1.1 200")));
        world_close(&w);
    }
    buf_free(&all);
}

static void on_drain(void *owner)
{
    struct http_world *w = owner;

    http_server_drain(w->server);
}

static void test_drain(void **state)
{
    struct http_world w = {0};
    struct loop_timer drain = {.call = on_drain, .owner = &w};
    struct loop_timer release = {.call = on_release, .owner = &w};
    struct buf summary = {0};

    (void)state;
    open_world(&w);
    loop_set_timer(w.loop, &drain, clock_now_ms() + WORLD_SHORT_MS);
    loop_set_timer(w.loop, &release, clock_now_ms() + 2 * WORLD_SHORT_MS);
    world_talk(&w, "drain", STR("GET /wait" H "\r\nGET /hello" H "\r\n"), 0, 500);
    world_summary(&w, false, &summary);
    unit_equal("the current one only", buf_cstr(&summary), "200 late");
    world_close(&w);

    w = (struct http_world){0};
    open_world(&w);
    drain.owner = &w;
    loop_set_timer(w.loop, &drain, clock_now_ms());
    world_run(&w, "idle ones are closed at once");
    assert_int_equal(w.got.len, 0);
    world_close(&w);
    buf_free(&summary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_no_continue), cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_answer_at_once),
        cmocka_unit_test(test_client_gone), cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_slow),        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_late),        cmocka_unit_test(test_talk_in_memory),
        cmocka_unit_test(test_linger),      cmocka_unit_test(test_deaf),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_detach),      cmocka_unit_test(test_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
