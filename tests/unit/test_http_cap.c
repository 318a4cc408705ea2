/* Who is not let into an http_server is told so. */
#include "http_world.h"
#include "net/socket.h"

static bool let_nobody_in(void *owner, const struct addr *peer, uint64_t *tag)
{
    (void)owner;
    assert_true(peer->storage.ss_family == AF_INET && *tag == 0);
    return false;
}

/* Of all connections, or of who the owner of the server does not let in. */
static void check_cap(size_t max_connections, const char *reason)
{
    struct http_world w = {0};
    struct buf summary = {0};
    struct err e = {0};
    struct addr bound;
    int fd, second;

    w.options.max_connections = max_connections;
    w.options.on_accepted = let_nobody_in;
    w.options.times = http_server_times();
    world_open(&w);
    assert_int_equal(socket_listen(STR("127.0.0.1:0"), &fd, &bound, &e), 0);
    assert_int_equal(http_server_listen(w.server, fd, &e), 0);
    second = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(second, (struct sockaddr *)&bound.storage, bound.len), 0);
    fcntl(second, F_SETFL, O_NONBLOCK);
    loop_remove(w.loop, &w.client);
    close(w.client.fd);
    /* The first is only closed when the loop runs: the second comes while it counts. */
    w.client.fd = second;
    assert_int_equal(loop_add(w.loop, &w.client, LOOP_READ, &e), 0);
    world_run(&w, "cap");
    world_summary(&w, false, &summary);
    unit_equal("second", buf_cstr(&summary), reason);
    world_close(&w);
    buf_free(&summary);
}

static void test_cap(void **state)
{
    (void)state;
    check_cap(1, "503 {\"message\":\"too many connections, try again later\"}");
    check_cap(2, "503 {\"message\":\"too many connections from this address, try again later\"}");
}

/* ---- memory ---- */

static void on_echo(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf text = {0};

    (void)owner;
    buf_printf(&text, "%zu", request->body.len);
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = buf_str(&text)});
    buf_free(&text);
}

static const struct held_case {
    const char *name;
    size_t max_held, head, length, sent; /* a request of that many bytes, of which some are sent */
    const char *want;
} held_cases[] = {
    {"a head that is small", 1, 4000, 0, 4000, "200 0"},
    {"a body that is small", 1, 0, 4000, 4000, "200 4000"},
    {"a part of a long body", 1, 0, 90000, 40000, "503 {\"message\":\"too much is being sent, "},
    {"a part of a long head", 1, 15000, 0, 12000, "503 {\"message\":\"too much is being sent, "},
    {"a long body where there is room", 1 << 20, 0, 90000, 90000, "200 90000"},
};

/* Together they may hold only so much: whoever has more than a little is refused. */
static void test_held(void **state)
{
    static const struct http_route routes[] = {
        {"POST", "/", 100000, on_echo, NULL, false, false, NULL}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(held_cases); i++) {
        const struct held_case *c = &held_cases[i];
        struct http_world w = {.options = {.routes = routes, .route_count = 1}};
        struct buf text = {0}, summary = {0};
        size_t head_len;
        w.options.max_held = c->max_held;
        w.options.times = http_server_times();
        world_open(&w);
        buf_printf(&text,
                   "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %zu\r\nA: ",
                   c->length);
        for (size_t n = 0; n < c->head; n++)
            buf_putc(&text, 'a');
        buf_puts(&text, "\r\n\r\n");
        head_len = text.len;
        for (size_t n = 0; n < c->length; n++)
            buf_putc(&text, 'b');
        if (c->sent < c->head)
            head_len = c->sent - c->length;
        world_talk(&w, c->name,
                   str_slice(buf_str(&text), 0, head_len + (c->head > 0 ? 0 : c->sent)), 0, 1000);
        world_summary(&w, false, &summary);
        unit_equal_str(c->name, str_slice(buf_str(&summary), 0, strlen(c->want)), str_of(c->want));
        world_close(&w);
        buf_free(&text);
        buf_free(&summary);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cap), cmocka_unit_test(test_held)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
