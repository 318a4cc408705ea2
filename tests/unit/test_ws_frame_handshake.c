/* The WebSocket handshake, both ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "proto/ws_frame.h"

/* The example of RFC 6455 §1.3. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void parse(struct http_head *head, enum http_kind kind, const char *text)
{
    struct http_head_parser parser = {0};
    struct err e = {0};
    int status;

    if (http_head_parse(&parser, kind, str_of(text), STR("GET"), head, &status, &e) != IO_DONE)
        fail_msg("%s: %s", text, e.msg);
}

static void test_key(void **state)
{
    char key[WS_KEY_SIZE];

    (void)state;
    ws_frame_make_key((const unsigned char *)"the sample nonce", key);
    assert_string_equal(key, KEY);
}

#define REQUEST(method, lines) method " /x HTTP/1.1\r\nHost: h\r\n" lines "\r\n"
#define UPGRADE                "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION                "Sec-WebSocket-Version: 13\r\n"
#define KEY_LINE               "Sec-WebSocket-Key: " KEY "\r\n"

static void test_check_request(void **state)
{
    static const struct {
        const char *name, *text;
        int status; /* 101: accepted */
    } cases[] = {
        {"good", REQUEST("GET", UPGRADE VERSION KEY_LINE), 101},
        {"as browsers say it",
         REQUEST("GET",
                 "upgrade: foo, WebSocket\r\nconnection: keep-alive, upgrade\r\n" VERSION KEY_LINE
                 "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
         101},
        {"with Content-Length: 0", REQUEST("GET", UPGRADE VERSION KEY_LINE "Content-Length: 0\r\n"),
         101},
        {"no upgrade", REQUEST("GET", VERSION KEY_LINE), 426},
        {"no Connection", REQUEST("GET", "Upgrade: websocket\r\n" VERSION KEY_LINE), 426},
        {"Connection says otherwise",
         REQUEST("GET", "Upgrade: websocket\r\nConnection: close\r\n" VERSION KEY_LINE), 426},
        {"other protocol",
         REQUEST("GET", "Upgrade: h2c\r\nConnection: Upgrade\r\n" VERSION KEY_LINE), 426},
        {"no version", REQUEST("GET", UPGRADE KEY_LINE), 426},
        {"version 8", REQUEST("GET", UPGRADE KEY_LINE "Sec-WebSocket-Version: 8\r\n"), 426},
        {"version 013", REQUEST("GET", UPGRADE KEY_LINE "Sec-WebSocket-Version: 013\r\n"), 426},
        {"version twice", REQUEST("GET", UPGRADE KEY_LINE VERSION VERSION), 426},
        {"POST", REQUEST("POST", UPGRADE VERSION KEY_LINE), 400},
        {"lower-case get", REQUEST("get", UPGRADE VERSION KEY_LINE), 400},
        {"with a body", REQUEST("GET", UPGRADE VERSION KEY_LINE "Content-Length: 1\r\n"), 400},
        {"chunked", REQUEST("GET", UPGRADE VERSION KEY_LINE "Transfer-Encoding: chunked\r\n"), 400},
        {"no key", REQUEST("GET", UPGRADE VERSION), 400},
        {"two keys", REQUEST("GET", UPGRADE VERSION KEY_LINE KEY_LINE), 400},
        {"key of 15 bytes",
         REQUEST("GET", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"), 400},
        {"key is not base64",
         REQUEST("GET", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n"), 400},
        {"empty key", REQUEST("GET", UPGRADE VERSION "Sec-WebSocket-Key:\r\n"), 400},
        {"HTTP/1.0", "GET /x HTTP/1.0\r\n" UPGRADE VERSION KEY_LINE "\r\n", 426},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        struct err e = {0};
        int status = 0;
        parse(&head, HTTP_REQUEST, cases[i].text);
        int result = ws_frame_check_request(&head, &status, &e);
        if (status != cases[i].status || result != (cases[i].status == 101 ? 0 : -1))
            fail_msg("%s: %d, status %d: %s", cases[i].name, result, status, e.msg);
    }
}

static void test_put_response(void **state)
{
    struct http_header more = {STR("More"), STR("of it")};
    struct http_head head;
    struct buf out = {0};

    (void)state;
    parse(&head, HTTP_REQUEST, REQUEST("GET", UPGRADE VERSION KEY_LINE));
    ws_frame_put_response(&out, &head, NULL);
    assert_string_equal(buf_cstr(&out), "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE
                                        "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n");
    buf_clear(&out);
    parse(&head, HTTP_REQUEST,
          REQUEST("GET",
                  UPGRADE VERSION KEY_LINE "Sec-WebSocket-Protocol: chat , other\r\n"
                                           "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    ws_frame_put_response(&out, &head, &more);
    assert_non_null(strstr(buf_cstr(&out), "\r\nMore: of it\r\n\r\n"));
    assert_non_null(strstr(buf_cstr(&out), "\r\nSec-WebSocket-Protocol: chat\r\n"));
    assert_null(strstr(buf_cstr(&out), "Extensions"));
    buf_free(&out);
}

#define ANSWER(lines) "HTTP/1.1 101 Switching Protocols\r\n" lines "\r\n"
#define ACCEPT_LINE   "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static void test_check_response(void **state)
{
    static const struct {
        const char *name, *text;
        enum err_code want;
    } cases[] = {
        {"good", ANSWER(UPGRADE ACCEPT_LINE), ERR_NONE},
        {"other cases", ANSWER("upgrade: WebSocket\r\nconnection: upgrade\r\n" ACCEPT_LINE),
         ERR_NONE},
        {"no upgrade", ANSWER("Connection: Upgrade\r\n" ACCEPT_LINE), ERR_PROTOCOL},
        {"no Connection", ANSWER("Upgrade: websocket\r\n" ACCEPT_LINE), ERR_PROTOCOL},
        {"no accept", ANSWER(UPGRADE), ERR_PROTOCOL},
        {"wrong accept", ANSWER(UPGRADE "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
         ERR_PROTOCOL},
        {"extension",
         ANSWER(UPGRADE ACCEPT_LINE "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
         ERR_PROTOCOL},
        {"sub-protocol", ANSWER(UPGRADE ACCEPT_LINE "Sec-WebSocket-Protocol: chat\r\n"),
         ERR_PROTOCOL},
        {"200", "HTTP/1.1 200 OK\r\n" UPGRADE ACCEPT_LINE "\r\n", ERR_REFUSED},
        {"404", "HTTP/1.1 404 Not Found\r\n\r\n", ERR_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head;
        struct err e = {0};
        parse(&head, HTTP_RESPONSE, cases[i].text);
        int result = ws_frame_check_response(&head, KEY, &e);
        if (e.code != cases[i].want || result != (cases[i].want == ERR_NONE ? 0 : -1))
            fail_msg("%s: %d, code %d: %s", cases[i].name, result, e.code, e.msg);
    }
}

/* Our client's request and our server's answer fit each other. */
static void test_both_ends(void **state)
{
    struct http_head request, response;
    struct buf sent = {0}, answered = {0};
    char key[WS_KEY_SIZE];
    struct err e = {0};
    int status;

    (void)state;
    ws_frame_make_key((const unsigned char *)"0123456789abcdef", key);
    ws_frame_put_request(&sent, STR("h:80"), STR("/r?x"), key, NULL);
    parse(&request, HTTP_REQUEST, buf_cstr(&sent));
    assert_true(str_equal(request.target, STR("/r?x")));
    assert_true(str_equal(*http_head_get(&request, "Host"), STR("h:80")));
    assert_int_equal(ws_frame_check_request(&request, &status, &e), 0);
    ws_frame_put_response(&answered, &request, NULL);
    parse(&response, HTTP_RESPONSE, buf_cstr(&answered));
    assert_int_equal(ws_frame_check_response(&response, key, &e), 0);
    buf_free(&sent);
    buf_free(&answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),          cmocka_unit_test(test_check_request),
        cmocka_unit_test(test_put_response), cmocka_unit_test(test_check_response),
        cmocka_unit_test(test_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
