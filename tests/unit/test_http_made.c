/* Bodies that stream through a server: made as the client takes them, and paused as they come. What
 * a connection holds is bounded however slow the other side is. */
#include "http/http_conn.h"
#include "http_world.h"

#define H " HTTP/1.1\r\nHost: h\r\n"

enum { PERIOD = 4093, BOUND = 256 << 10, GIB = 1 << 30, SLOW_ROUNDS = 200 };

static char pattern[2 * 65536 + PERIOD]; /* byte i is that of every place i modulo PERIOD */

static void make_pattern(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % PERIOD * 7 + 3);
}

/* The route's body, and what became of it. */
static struct body {
    int64_t length, made;
    int64_t fails_at, dries_every; /* 0: never */
    size_t most_held;
    unsigned calls, ends, dry;
    bool is_whole, was_dry;
    bool is_lent; /* behind its first part */
    size_t lent;
    struct http_conn *conn;
    struct loop *loop;
    struct loop_timer again;
} body;

static void note_held(struct http_conn *conn)
{
    if (conn->server->held > body.most_held)
        body.most_held = conn->server->held;
}

static void on_again(void *owner)
{
    (void)owner;
    body.was_dry = true;
    http_conn_resume_answer(body.conn);
}

static bool make(void *ctx, struct http_conn *conn, struct buf *out, size_t room)
{
    (void)ctx;
    body.calls++;
    note_held(conn);
    assert_true(room > 0 && room <= HTTP_SERVER_MADE_BYTES);
    if (body.fails_at > 0 && body.made >= body.fails_at)
        return false;
    if (body.dries_every > 0 && body.made / body.dries_every > body.dry && !body.was_dry) {
        loop_set_timer(body.loop, &body.again, loop_now_ms(body.loop) + 1);
        return true;
    }
    body.dry += body.was_dry;
    body.was_dry = false;
    buf_append(out, pattern + body.made % PERIOD, room);
    body.made += (int64_t)room;
    return true;
}

/* Pieces as long as the pattern has them. */
static bool lend(void *ctx, struct http_conn *conn, struct str *bytes)
{
    int64_t left = body.length - body.made;

    (void)ctx;
    body.calls++;
    note_held(conn);
    *bytes = STR("");
    body.lent = 0;
    if (body.fails_at > 0 && body.made >= body.fails_at)
        return false;
    if (body.dries_every > 0 && body.made / body.dries_every > body.dry && !body.was_dry) {
        loop_set_timer(body.loop, &body.again, loop_now_ms(body.loop) + 1);
        return true;
    }
    body.dry += body.was_dry;
    body.was_dry = false;
    body.lent = left < 2 * 65536 ? (size_t)left : 2 * 65536;
    *bytes = (struct str){pattern + body.made % PERIOD, body.lent};
    return true;
}

static void took(void *ctx, size_t count)
{
    (void)ctx;
    assert_true(count > 0 && count <= body.lent);
    body.made += (int64_t)count;
    body.lent = 0;
}

static void on_end(void *ctx, bool is_whole)
{
    (void)ctx;
    body.ends++;
    body.is_whole = is_whole;
}

static void on_made(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct http_source source = {.make = make,
                                       .on_end = on_end,
                                       .lend = body.is_lent ? lend : NULL,
                                       .took = body.is_lent ? took : NULL};

    (void)request;
    (void)owner;
    body.conn = conn;
    http_conn_answer_made(conn, &(struct http_answer){.status = 200}, body.length, &source);
}

/* ---- a body that comes, and is paused after each part ---- */

static struct sink {
    int64_t got;
    size_t most_held;
    unsigned parts, ends, gone;
    bool is_wrong;
    struct http_conn *conn;
    struct loop *loop;
    struct loop_timer again;
} sink;

static void on_sink_again(void *owner)
{
    (void)owner;
    http_conn_resume_body(sink.conn);
}

static void on_data(void *ctx, struct http_conn *conn, struct str data)
{
    (void)ctx;
    for (size_t done = 0; done < data.len;) {
        size_t n = data.len - done < 65536 ? data.len - done : 65536;
        sink.is_wrong |= memcmp(data.p + done, pattern + sink.got % PERIOD, n) != 0;
        sink.got += (int64_t)n;
        done += n;
    }
    sink.parts++;
    if (conn->server->held > sink.most_held)
        sink.most_held = conn->server->held;
    sink.conn = conn;
    http_conn_pause_body(conn);
    loop_set_timer(sink.loop, &sink.again, loop_now_ms(sink.loop));
}

static void on_sink_end(void *ctx, struct http_conn *conn)
{
    (void)ctx;
    sink.ends++;
    http_conn_answer(conn, &(struct http_answer){.status = 201, .body = STR("taken")});
}

static void on_sink_gone(void *ctx)
{
    (void)ctx;
    sink.gone++;
    loop_clear_timer(sink.loop, &sink.again);
}

static void on_put(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct http_sink to = {on_data, on_sink_end, on_sink_gone, NULL};

    (void)request;
    (void)owner;
    http_conn_stream(conn, &to);
}

static void on_hello(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = STR("hello")});
}

static const struct http_route routes[] = {
    {"GET", "/made", 0, NULL, on_made, false, false, NULL},
    {"PUT", "/put", 0, NULL, on_put, false, false, NULL},
    {"GET", "/hello", 0, on_hello, NULL, false, false, NULL},
};

/* Narrow lines in memory, the second for short bodies alone; the last is a socket. */
static const struct world_line lines[] = {
    {"narrow", {1021, 4099, 2053}, {769, 3001, 4001}},
    {"single bytes", {.read_bytes = 1, .capacity = 1}, {1, 1, 1}},
    {.name = "wide"},
};
enum { NARROW, SINGLE_BYTES, WIDE, SOCKET, LINES, SHORT = 2000 /* bytes */ };

/* `line`: an index of `lines`, or SOCKET. */
static void open_over(struct http_world *w, int line, struct body wanted)
{
    *w = (struct http_world){.options = {.routes = routes,
                                         .route_count = UNIT_COUNT(routes),
                                         .times = http_server_times()}};
    if (line == SOCKET)
        world_open(w);
    else
        world_open_line(w, &lines[line]);
    body = wanted;
    body.loop = sink.loop = w->loop;
    body.again = (struct loop_timer){.call = on_again};
    sink.again = (struct loop_timer){.call = on_sink_again};
}

static void open_with(struct http_world *w, struct body wanted)
{
    open_over(w, SOCKET, wanted);
}

/* Where the body begins in what the client got. */
static size_t head_size(struct http_world *w)
{
    struct http_head_parser parser = {0};
    struct http_head head;
    int status;

    assert_int_equal(http_head_parse(&parser, HTTP_RESPONSE, buf_str(&w->got), STR("GET"), &head,
                                     &status, ERR_IGNORED),
                     IO_DONE);
    return head.size;
}

static void check_body(const char *name, struct http_world *w, size_t length)
{
    size_t at = head_size(w);

    unit_true(name, w->got.len == at + length);
    for (size_t done = 0; done < length;) {
        size_t n = length - done < 65536 ? length - done : 65536;
        unit_true(name, memcmp(w->got.data + at + done, pattern + done % PERIOD, n) == 0);
        done += n;
    }
}

/* ---- the slow reader of a long body: the client is not of the world, but reads by hand ---- */

static struct reader {
    struct http_world *w;
    struct loop_timer turn;
    int64_t got;
    size_t head_left;
    unsigned rounds;
    bool is_wrong;
} reader;

/* Reads nothing for a while, then a little now and then, then all. */
static void on_turn(void *owner)
{
    char data[65536];
    ssize_t n = 1;

    (void)owner;
    loop_set_timer(reader.w->loop, &reader.turn, loop_now_ms(reader.w->loop));
    if (reader.rounds++ < SLOW_ROUNDS && reader.rounds % 20 != 0)
        return;
    while (n > 0 && (n = recv(reader.w->client.fd, data, sizeof data, 0)) > 0) {
        char *p = data;
        if (reader.got == 0 && reader.head_left == 0) {
            struct http_head_parser parser = {0};
            struct http_head head;
            int status;
            assert_int_equal(http_head_parse(&parser, HTTP_RESPONSE, (struct str){data, (size_t)n},
                                             STR("GET"), &head, &status, ERR_IGNORED),
                             IO_DONE);
            assert_int_equal(head.content_length, GIB);
            reader.head_left = head.size;
            p += head.size;
        }
        size_t len = (size_t)(data + n - p);
        reader.is_wrong |= memcmp(p, pattern + reader.got % PERIOD, len) != 0;
        reader.got += (int64_t)len;
        if (reader.rounds < SLOW_ROUNDS)
            break;
    }
    if (n == 0 || reader.got == GIB)
        loop_stop(reader.w->loop);
}

static void read_a_gigabyte_slowly(bool is_lent)
{
    struct http_world w;
    const char request[] = "GET /made" H "\r\n";

    open_with(&w, (struct body){.length = GIB, .is_lent = is_lent});
    loop_remove(w.loop, &w.client);
    reader = (struct reader){.w = &w, .turn = {.call = on_turn}};
    assert_int_equal(send(w.client.fd, request, sizeof request - 1, 0), sizeof request - 1);
    loop_set_timer(w.loop, &reader.turn, loop_now_ms(w.loop));
    world_run(&w, "1 GiB");
    assert_true(reader.got == GIB && !reader.is_wrong);
    assert_true(body.made == GIB && body.ends == 1 && body.is_whole);
    assert_true(body.most_held <= BOUND);
    world_close(&w);
}

static void a_gigabyte_for_a_slow_reader(void **state)
{
    (void)state;
    read_a_gigabyte_slowly(false);
}

static void a_gigabyte_that_is_lent_to_a_slow_reader(void **state)
{
    (void)state;
    read_a_gigabyte_slowly(true);
}

/* ---- its other ends ---- */

static void lent_bodies(void **state)
{
    static const struct body cases[] = {
        {.length = 10},
        {.length = HTTP_SERVER_MADE_BYTES},
        {.length = HTTP_SERVER_MADE_BYTES + 1},
        {.length = 3000001},
        {.length = 400000, .dries_every = 50000},
        {.length = 1000000, .fails_at = 100000},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases) * LINES; i++) {
        struct http_world w;
        char name[32];
        struct body wanted = cases[i / LINES];
        int line = (int)(i % LINES);
        if (line == SINGLE_BYTES && wanted.length > SHORT)
            continue;
        snprintf(name, sizeof name, "case %zu, line %d", i / LINES, line);
        wanted.is_lent = true;
        open_over(&w, line, wanted);
        world_talk(&w, name, STR("GET /made" H "Connection: close\r\n\r\n"), 0, 1000);
        unit_true(name, body.ends == 1 && body.most_held <= BOUND);
        unit_true(name, body.is_whole == (wanted.fails_at == 0));
        unit_true(name, body.is_whole == (body.made == wanted.length));
        check_body(name, &w, (size_t)body.made);
        world_close(&w);
    }
}

static void made_bodies(void **state)
{
    static const struct {
        const char *name, *method;
        int64_t length, fails_at, dries_every;
        bool is_whole;
        size_t got; /* of the body */
    } cases[] = {
        {"short", "GET", 10, 0, 0, true, 10},
        {"empty", "GET", 0, 0, 0, true, 0},
        {"only the head", "HEAD", 1000000, 0, 0, true, 0},
        {"one part", "GET", HTTP_SERVER_MADE_BYTES, 0, 0, true, HTTP_SERVER_MADE_BYTES},
        {"many parts", "GET", 3000001, 0, 0, true, 3000001},
        {"a source that has nothing now and then", "GET", 400000, 0, 50000, true, 400000},
        {"a source that fails at once", "GET", 1000, 1, 0, true, 1000},
        {"a source that fails later", "GET", 1000000, 100000, 0, false, 131072},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases) * LINES; i++) {
        struct http_world w;
        struct buf request = {0};
        int line = (int)(i % LINES);
        if (line == SINGLE_BYTES && cases[i / LINES].length > SHORT)
            continue;
        open_over(&w, line, (struct body){.length = cases[i / LINES].length,
                                          .fails_at = cases[i / LINES].fails_at,
                                          .dries_every = cases[i / LINES].dries_every});
        buf_printf(&request, "%s /made" H "Connection: close\r\n\r\n", cases[i / LINES].method);
        world_talk(&w, cases[i / LINES].name, buf_str(&request), 0, 1000);
        unit_true(cases[i / LINES].name, body.ends == 1);
        unit_true(cases[i / LINES].name, body.is_whole == cases[i / LINES].is_whole);
        unit_true(cases[i / LINES].name, body.most_held <= BOUND);
        check_body(cases[i / LINES].name, &w, cases[i / LINES].got);
        world_close(&w);
        buf_free(&request);
    }
}

/* The connection serves what was sent behind, when the body is out. */
static void a_request_behind_it(void **state)
{
    (void)state;
    for (int line = 0; line < LINES; line++) {
        int64_t length = line == SINGLE_BYTES ? SHORT : 100000;
        struct http_world w;
        open_over(&w, line, (struct body){.length = length, .dries_every = length / 3});
        world_talk(&w, "pipelined",
                   STR("GET /made" H "\r\nGET /hello" H "Connection: close\r\n\r\n"), 0, 1000);
        assert_true(body.ends == 1 && body.is_whole);
        assert_true(w.got.len > (size_t)length);
        assert_memory_equal(w.got.data + w.got.len - 5, "hello", 5);
        world_close(&w);
    }
}

static void on_hang_up(void *owner)
{
    struct http_world *w = owner;

    shutdown(w->client.fd, SHUT_RDWR);
    loop_set_timer(w->loop, &w->feeder, CLOCK_NEVER_MS);
    if (body.ends > 0 || sink.gone > 0)
        loop_stop(w->loop);
    else
        loop_set_timer(w->loop, &w->patience, loop_now_ms(w->loop) + 1);
}

/* Whoever makes the body is told once, also when the server ends. */
static void a_client_that_leaves(void **state)
{
    struct http_world w;
    const char request[] = "GET /made" H "\r\n";

    (void)state;
    for (int is_server_ended = 0; is_server_ended < 2; is_server_ended++) {
        open_with(&w, (struct body){.length = GIB});
        loop_remove(w.loop, &w.client);
        assert_int_equal(send(w.client.fd, request, sizeof request - 1, 0), sizeof request - 1);
        struct loop_timer stop = {.call = on_hang_up, .owner = &w};
        w.patience.call = on_hang_up;
        loop_set_timer(w.loop, &stop, loop_now_ms(w.loop) + 20);
        if (is_server_ended) {
            body.ends = 1; /* the timer ends the loop alone */
            assert_int_equal(loop_run(w.loop, ERR_IGNORED), 0);
            body.ends = 0;
        } else {
            assert_int_equal(loop_run(w.loop, ERR_IGNORED), 0);
            assert_int_equal(body.ends, 1);
        }
        loop_clear_timer(w.loop, &w.patience);
        world_close(&w);
        assert_true(body.ends == 1 && !body.is_whole);
    }
}

/* A sink that takes one part a round: what the connection holds does not grow, the body arrives
 * whole, and so does the request behind it. */
static void a_body_that_is_paused(void **state)
{
    static const struct {
        const char *name;
        bool is_chunked;
    } cases[] = {{"by its length", false}, {"chunked", true}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases) * LINES; i++) {
        const int line = (int)(i % LINES);
        const bool is_chunked = cases[i / LINES].is_chunked;
        const char *name = cases[i / LINES].name;
        int64_t size = line == SINGLE_BYTES ? SHORT : 3000000, part = size / 60;
        struct http_world w;
        struct buf request = {0}, summary = {0};
        sink = (struct sink){0};
        open_over(&w, line, (struct body){0});
        buf_puts(&request, "PUT /put" H);
        if (is_chunked)
            buf_puts(&request, "Transfer-Encoding: chunked\r\n\r\n");
        else
            buf_printf(&request, "Content-Length: %d\r\n\r\n", (int)size);
        for (int64_t done = 0; done < size; done += part) {
            int64_t n = size - done < part ? size - done : part;
            if (is_chunked)
                buf_printf(&request, "%x\r\n", (unsigned)n);
            buf_append(&request, pattern + done % PERIOD, (size_t)n);
            if (is_chunked)
                buf_puts(&request, "\r\n");
        }
        buf_puts(&request, is_chunked ? "0\r\n\r\n" : "");
        buf_puts(&request, "GET /hello" H "Connection: close\r\n\r\n");
        world_talk(&w, name, buf_str(&request), 0, 1 << 20);
        unit_true(name, sink.got == size && !sink.is_wrong && sink.ends == 1);
        unit_true(name, sink.parts > 20 && sink.most_held <= BOUND);
        world_summary(&w, false, &summary);
        unit_equal(name, buf_cstr(&summary), "201 taken | 200 hello");
        world_close(&w);
        buf_free(&request);
        buf_free(&summary);
    }
}

/* Resets in the middle, in memory, wherever the body stands: its maker and its taker are told once,
 * and nothing is left of the connection. */
static void a_reset_in_the_middle(void **state)
{
    const struct str get = STR("GET /made" H "\r\n"),
                     put = STR("PUT /put" H "Content-Length: 9000\r\n\r\n");

    (void)state;
    for (unsigned rounds = 1; rounds < 60; rounds++) {
        struct http_world w;
        open_over(&w, NARROW, (struct body){.length = GIB, .dries_every = 5000});
        assert_int_equal(world_send(&w, get), (int)get.len);
        world_rounds(&w, rounds);
        stream_memory_reset(w.line);
        world_rounds(&w, 3);
        assert_int_equal(http_server_count(w.server), 0);
        assert_true(body.ends == (body.conn != NULL) && !body.is_whole);
        loop_clear_timer(w.loop, &body.again);
        world_close(&w);

        sink = (struct sink){0};
        open_over(&w, NARROW, (struct body){0});
        assert_int_equal(world_send(&w, put), (int)put.len);
        w.to_send = (struct str){pattern, 8000};
        w.piece = 100;
        loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
        world_rounds(&w, rounds);
        stream_memory_reset(w.line);
        w.to_send.len = 0;
        world_rounds(&w, 3);
        assert_int_equal(http_server_count(w.server), 0);
        assert_true(sink.ends == 0 && sink.gone == 1);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gigabyte_for_a_slow_reader),
        cmocka_unit_test(a_gigabyte_that_is_lent_to_a_slow_reader),
        cmocka_unit_test(lent_bodies),
        cmocka_unit_test(made_bodies),
        cmocka_unit_test(a_request_behind_it),
        cmocka_unit_test(a_client_that_leaves),
        cmocka_unit_test(a_body_that_is_paused),
        cmocka_unit_test(a_reset_in_the_middle),
    };
    make_pattern();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
