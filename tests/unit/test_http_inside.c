/* A client inside of a server, both in one loop: a route that asks another server takes a second,
 * while others are answered in milliseconds. */
#include "http/http_client.h"
#include "http/http_server.h"
#include "net/socket.h"
#include "peer.h"
#include "waker.h"

/* A callback that takes longer has blocked. */
enum { QUICK_CALLS = 100, SLOW_MS = 1000, LONGEST_CALL_MS = 400 };

/* What the route /slow waits for. */
struct inside {
    struct http_client *client;
    uint16_t port; /* of the other server */
    struct http_call *call;
    struct http_conn *conn;
};

struct outside {
    struct http_call *call;
    enum io io;
    int64_t took_ms;
};

struct world {
    struct inside inside;
    struct outside calls[QUICK_CALLS + 1]; /* the first is the slow one */
    int64_t begun_ms;
};

static void step_inside(void *owner)
{
    struct inside *inside = owner;
    struct err e = {0};
    enum io io = http_call_step(inside->call, clock_now_ms(), &e);

    if (io != IO_DONE && io != IO_ERR)
        return;
    struct http_answer answer = {.status = io == IO_DONE ? 200 : 502, .content_type = "text/plain"};
    answer.body = io == IO_DONE ? http_call_body(inside->call) : str_of(e.msg);
    http_conn_answer(inside->conn, &answer);
    http_call_free(inside->call);
    inside->call = NULL;
}

static void on_gone(void *ctx)
{
    (void)ctx;
    fail_msg("the client of /slow left");
}

static void serve_slow(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct inside *inside = owner;
    struct buf url = {0};
    struct err e = {0};

    (void)request;
    buf_printf(&url, "http://127.0.0.1:%u/", inside->port);
    const struct http_call_options options = {
        .method = STR("GET"), .url = buf_str(&url), .deadline_ms = CLOCK_NEVER_MS};
    inside->call = http_call_new(inside->client, &options, step_inside, inside, &e);
    assert_non_null(inside->call);
    inside->conn = conn;
    http_conn_wait(conn, on_gone, inside);
    buf_free(&url);
}

static void serve_quick(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = STR("quick")});
}

static void step_outside(void *owner)
{
    struct world *w = owner;
    struct err e = {0};

    for (size_t i = 0; i < UNIT_COUNT(w->calls); i++) {
        struct outside *o = &w->calls[i];
        if (o->io == IO_DONE || o->io == IO_ERR)
            continue;
        o->io = http_call_step(o->call, clock_now_ms(), &e);
        o->took_ms = clock_now_ms() - w->begun_ms;
    }
}

static bool are_all_over(void *owner)
{
    const struct world *w = owner;

    for (size_t i = 0; i < UNIT_COUNT(w->calls); i++)
        if (w->calls[i].io != IO_DONE && w->calls[i].io != IO_ERR)
            return false;
    return true;
}

static void start_calls(struct world *w, struct http_client *client, uint16_t port)
{
    struct err e = {0};

    w->begun_ms = clock_now_ms();
    for (size_t i = 0; i < UNIT_COUNT(w->calls); i++) {
        struct buf url = {0};
        buf_printf(&url, "http://127.0.0.1:%u/%s", port, i == 0 ? "slow" : "quick");
        const struct http_call_options options = {
            .method = STR("GET"), .url = buf_str(&url), .deadline_ms = CLOCK_NEVER_MS};
        w->calls[i].io = IO_WANT_READ;
        w->calls[i].call = http_call_new(client, &options, step_outside, w, &e);
        assert_non_null(w->calls[i].call);
        buf_free(&url);
    }
}

static void others_are_answered_meanwhile(void **state)
{
    static const struct peer_step script[] = {
        PEER_DO(ACCEPT),
        PEER_DO(HEAD),
        {PEER_PAUSE, NULL, SLOW_MS},
        PEER_SAY("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        PEER_DO(END)};
    static struct world w;
    const struct http_route routes[] = {
        {.method = "GET", .path = "/slow", .on_request = serve_slow, .owner = &w.inside},
        {.method = "GET", .path = "/quick", .on_request = serve_quick}};
    const struct http_server_options options = {.loop = waker.loop,
                                                .routes = routes,
                                                .route_count = UNIT_COUNT(routes),
                                                .times = http_server_times()};
    struct http_client *client = http_client_new(waker.loop, ERR_IGNORED);
    struct http_server *server = http_server_new(&options, ERR_IGNORED);
    struct addr bound;
    struct peer peer;
    struct err e = {0};
    int listener;

    (void)state;
    peer_start(&peer, script);
    w.inside = (struct inside){.client = client, .port = peer.port};
    assert_int_equal(socket_listen(STR("127.0.0.1:0"), &listener, &bound, &e), 0);
    assert_int_equal(http_server_listen(server, listener, &e), 0);
    start_calls(&w, client, addr_port(&bound));
    loop_limit_calls(waker.loop, LONGEST_CALL_MS);
    assert_int_equal(loop_run_until(waker.loop, are_all_over, &w, &e), 0);
    for (size_t i = 0; i < UNIT_COUNT(w.calls); i++) {
        struct str body = http_call_body(w.calls[i].call);
        assert_int_equal(w.calls[i].io, IO_DONE);
        unit_equal_str("body", body, i == 0 ? STR("slow") : STR("quick"));
        assert_true(i == 0 ? w.calls[i].took_ms >= SLOW_MS
                           : w.calls[i].took_ms < w.calls[0].took_ms);
        http_call_free(w.calls[i].call);
    }
    http_client_free(client);
    http_server_free(server);
    peer_free(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAKER_TEST(others_are_answered_meanwhile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
