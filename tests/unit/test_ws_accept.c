/* A WebSocket that an http_server accepts: recorded handshakes of browsers and libraries, in every
 * split, with frames behind them; and requests that are none. */
#include "http/ws_accept.h"
#include "http_world.h"

#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static struct ws_conn *conn;
static bool is_over;

static void on_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct err e = {0};

    (void)owner;
    assert_int_equal(ws_conn_send(conn, kind, message, &e), 0);
}

static void on_closed(void *owner, const struct ws_end *end)
{
    assert_false(end->is_failure);
    conn = NULL;
    is_over = true;
    (void)owner;
}

static void on_upgrade(struct http_conn *c, const struct http_request *request, void *owner)
{
    const struct http_header more = {STR("X-More"), STR("yes")};
    struct http_world *w = owner;
    const struct ws_conn_options options = {
        .loop = w->loop, .on_message = on_message, .on_closed = on_closed, .owner = w};
    struct err e = {0};

    if (!ws_accept_check(c, request))
        return;
    conn = ws_accept(c, request, &more, &options, &e);
    assert_non_null(conn);
}

static struct http_route routes[] = {{"UPGRADE", "*", 0, NULL, on_upgrade, true, false, NULL}};

static void open_server(struct http_world *w)
{
    *w = (struct http_world){
        .options = {.routes = routes, .route_count = 1, .times = http_server_times()}};
    routes[0].owner = w;
    is_over = false;
    world_open(w);
}

/* ---- recorded ---- */

static const struct {
    const char *name, *request, *protocol; /* the key is RFC 6455's */
} handshakes[] = {
    {"RFC 6455 §1.3",
     "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n"
     "Connection: Upgrade\r\n" KEY "Origin: http://example.com\r\n"
     "Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
     "Sec-WebSocket-Protocol: chat\r\n"},
    {"Node's ws",
     "GET / HTTP/1.1\r\nSec-WebSocket-Version: 13\r\n" KEY "Connection: Upgrade\r\n"
     "Upgrade: websocket\r\n"
     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
     "Host: localhost:8080\r\n\r\n",
     ""},
    {"Python's websockets",
     "GET /r HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY
     "Sec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
     "User-Agent: Python/3.11 websockets/10.4\r\n\r\n",
     ""},
    {"Firefox",
     "GET / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; "
     "rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: */*\r\nAccept-Language: en-US,en;q=0.5\r\n"
     "Accept-Encoding: gzip, deflate, br, zstd\r\nSec-WebSocket-Version: 13\r\nOrigin: null\r\n"
     "Sec-WebSocket-Extensions: permessage-deflate\r\n" KEY
     "Connection: keep-alive, Upgrade\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: websocket\r\n"
     "Sec-Fetch-Site: cross-site\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
     "Upgrade: websocket\r\n\r\n",
     ""},
    {"Chromium",
     "GET / HTTP/1.1\r\nHost: localhost:8080\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
     "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
     "(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\n"
     "Origin: http://localhost:8080\r\nSec-WebSocket-Version: 13\r\n"
     "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n" KEY
     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
     ""},
    {"behind nginx, HTTP words in other cases",
     "GET / HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: 10.0.0.1\r\nUPGRADE: WebSocket\r\n"
     "connection: upgrade\r\nsec-websocket-version: 13\r\n" KEY "\r\n",
     ""},
};

static void check_handshake(size_t i, struct str text, size_t first, size_t piece)
{
    const char *name = handshakes[i].name;
    struct http_world w;

    open_server(&w);
    world_talk(&w, name, text, first, piece);
    const char *end = strstr(buf_cstr(&w.got), "\r\n\r\n");
    unit_true(name, str_starts_with(buf_str(&w.got), STR("HTTP/1.1 101 ")));
    unit_true(name, end != NULL && strstr(w.got.data, ACCEPT) != NULL);
    unit_true(name, strstr(w.got.data, "X-More: yes\r\n") != NULL);
    unit_true(name, strstr(w.got.data, "Extensions") == NULL);
    unit_true(name, strstr(w.got.data, handshakes[i].protocol) != NULL);
    unit_true(name, handshakes[i].protocol[0] != '\0' || strstr(w.got.data, "Protocol:") == NULL);
    struct str frames = str_slice(buf_str(&w.got), (size_t)(end - w.got.data) + 4, w.got.len);
    unit_equal_str(name, frames,
                   STR("\x81\x05"
                       "hello\x82\x02\xff\xfe\x88\x02\x03\xe8"));
    unit_true(name, is_over && http_server_count(w.server) == 0);
    world_close(&w);
}

static void recorded_handshakes(void **state)
{
    static const unsigned char mask[4] = {9, 8, 7, 6};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(handshakes); i++) {
        struct buf text = {0};
        buf_puts(&text, handshakes[i].request);
        ws_frame_put(&text, WS_TEXT, STR("hello"), mask);
        ws_frame_put(&text, WS_BINARY, STR("\xff\xfe"), mask);
        ws_frame_put_close(&text, WS_CLOSE_NORMAL, STR(""), mask);
        check_handshake(i, buf_str(&text), 0, text.len);
        check_handshake(i, buf_str(&text), 0, 1);
        for (size_t first = 1; first < text.len; first++)
            check_handshake(i, buf_str(&text), first, text.len);
        buf_free(&text);
    }
}

/* ---- refused ---- */

static void refused(void **state)
{
    static const struct {
        const char *name, *request, *status;
    } cases[] = {
        {"an old version",
         "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY
         "Sec-WebSocket-Version: 8\r\n\r\n",
         "HTTP/1.1 426 "},
        {"no key",
         "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 400 "},
        {"a short key",
         "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: c2hvcnQ=\r\nSec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 400 "},
        {"a POST",
         "POST / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Content-Length: 0\r\n" KEY "Sec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 4"},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct http_world w;
        open_server(&w);
        w.stop_after = 1;
        world_talk(&w, cases[i].name, str_of(cases[i].request), 0, 1000);
        if (!str_starts_with(buf_str(&w.got), str_of(cases[i].status)))
            unit_equal(cases[i].name, buf_cstr(&w.got), cases[i].status);
        unit_true(cases[i].name, !is_over);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_handshakes),
        cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
