/* HTTP heads: each case whole, byte by byte and at every two-way split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http_head.h"

enum { CLOSE = 0, KEEP = 1, CONTINUE = 2, UPGRADE = 4, HTTP10 = 8 };

/* The text's first and, when refused, the reading's last words. */
static const struct head_case {
    const char *name, *request_method; /* NULL: the text is a request */
    const char *text;
    int status; /* 0: accepted; answers that are refused: -1 */
    enum http_framing framing;
    int64_t length;
    unsigned flags;
    size_t headers;
} cases[] = {
#define H           "Host: h\r\n"
#define GET(lines)  "GET / HTTP/1.1\r\n" lines "\r\n"
#define POST(lines) "POST / HTTP/1.1\r\n" H lines "\r\n"
#define GOOD        0
    {"smallest", NULL, GET(H), GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"HTTP/1.0", NULL, "GET / HTTP/1.0\r\n\r\n", GOOD, HTTP_BODY_NONE, -1, HTTP10, 0},
    {"HTTP/1.0 keep-alive", NULL, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", GOOD,
     HTTP_BODY_NONE, -1, KEEP | HTTP10, 1},
    {"HTTP/1.2 is 1.1", NULL, "GET / HTTP/1.2\r\n" H "\r\n", GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"close", NULL, GET(H "Connection: x, CLOSE\r\n"), GOOD, HTTP_BODY_NONE, -1, CLOSE, 2},
    {"empty line first", NULL, "\r\n" GET(H), GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"length", NULL, POST("Content-Length: 5\r\n"), GOOD, HTTP_BODY_LENGTH, 5, KEEP, 2},
    {"length 0", NULL, POST("content-length:0\r\n"), GOOD, HTTP_BODY_LENGTH, 0, KEEP, 2},
    {"length with white space", NULL, POST("Content-Length: \t 7\t \r\n"), GOOD, HTTP_BODY_LENGTH,
     7, KEEP, 2},
    {"largest length", NULL, POST("Content-Length: 9223372036854775807\r\n"), GOOD,
     HTTP_BODY_LENGTH, INT64_MAX, KEEP, 2},
    {"chunked", NULL, POST("Transfer-Encoding: chunked\r\n"), GOOD, HTTP_BODY_CHUNKED, -1, KEEP, 2},
    {"Chunked", NULL, POST("TRANSFER-ENCODING:\tChunked\r\n"), GOOD, HTTP_BODY_CHUNKED, -1, KEEP,
     2},
    {"expects 100", NULL, POST("Expect: 100-Continue\r\nContent-Length: 1\r\n"), GOOD,
     HTTP_BODY_LENGTH, 1, KEEP | CONTINUE, 3},
    {"expects in HTTP/1.0", NULL, "PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", GOOD,
     HTTP_BODY_NONE, -1, HTTP10, 1},
    {"upgrade", NULL, GET(H "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"), GOOD,
     HTTP_BODY_NONE, -1, KEEP | UPGRADE, 3},
    {"upgrade not in Connection", NULL, GET(H "Upgrade: websocket\r\n"), GOOD, HTTP_BODY_NONE, -1,
     KEEP, 2},
    {"absolute form", NULL, "GET HTTP://x:80/p HTTP/1.1\r\n" H "\r\n", GOOD, HTTP_BODY_NONE, -1,
     KEEP, 1},
    {"asterisk form", NULL, "OPTIONS * HTTP/1.1\r\n" H "\r\n", GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"authority form", NULL, "CONNECT [::1]:80 HTTP/1.1\r\n" H "\r\n", GOOD, HTTP_BODY_NONE, -1,
     KEEP, 1},
    {"empty value, odd name", NULL, GET(H "x!#$%&'*+-.^_`|~9:\r\n"), GOOD, HTTP_BODY_NONE, -1, KEEP,
     2},
    {"value with high bytes", NULL, GET(H "X: a\tb \xff\x80\r\n"), GOOD, HTTP_BODY_NONE, -1, KEEP,
     2},
    {"empty Host", NULL, GET("Host:\r\n"), GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"Host with empty port", NULL, GET("Host: h:\r\n"), GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"Host as IPv6", NULL, GET("Host: [::1]\r\n"), GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"absolute form of a WebSocket", NULL, "GET ws://h/p HTTP/1.1\r\n" H "\r\n", GOOD,
     HTTP_BODY_NONE, -1, KEEP, 1},
    {"absolute form of no scheme", NULL, "GET ://h/p HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"absolute form of another scheme", NULL, "GET wsx://h/p HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0,
     0},
    {"absolute form, query without path", NULL, "GET http://h?q HTTP/1.1\r\n" H "\r\n", GOOD,
     HTTP_BODY_NONE, -1, KEEP, 1},
    {"absolute form without path", NULL, "GET https://h:1 HTTP/1.1\r\n" H "\r\n", GOOD,
     HTTP_BODY_NONE, -1, KEEP, 1},
    {"Host with port", NULL, GET("Host: [::1]:8080\r\n"), GOOD, HTTP_BODY_NONE, -1, KEEP, 1},
    {"other names as long as those that matter", NULL,
     GET(H "Date: a b\r\nAccept: 100-continue\r\nReferer: x\r\nUser-Agent: close\r\n"
           "Accept-Charset: 5\r\nIf-Modified-Since: gzip\r\n"),
     GOOD, HTTP_BODY_NONE, -1, KEEP, 7},

    {"repeated length", NULL, POST("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, 0, 0, 0, 0},
    {"differing lengths", NULL, POST("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, 0, 0, 0,
     0},
    {"length list", NULL, POST("Content-Length: 5, 5\r\n"), 400, 0, 0, 0, 0},
    {"empty length", NULL, POST("Content-Length:\r\n"), 400, 0, 0, 0, 0},
    {"signed length", NULL, POST("Content-Length: +5\r\n"), 400, 0, 0, 0, 0},
    {"negative length", NULL, POST("Content-Length: -5\r\n"), 400, 0, 0, 0, 0},
    {"hex length", NULL, POST("Content-Length: 0x5\r\n"), 400, 0, 0, 0, 0},
    {"length with space inside", NULL, POST("Content-Length: 1 2\r\n"), 400, 0, 0, 0, 0},
    {"length overflows", NULL, POST("Content-Length: 9223372036854775808\r\n"), 400, 0, 0, 0, 0},
    {"length wraps", NULL, POST("Content-Length: 18446744073709551621\r\n"), 400, 0, 0, 0, 0},
    {"length then coding", NULL, POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400,
     0, 0, 0, 0},
    {"coding then length", NULL, POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400,
     0, 0, 0, 0},
    {"chunked twice", NULL, POST("Transfer-Encoding: chunked, chunked\r\n"), 400, 0, 0, 0, 0},
    {"chunked in two headers", NULL,
     POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, 0, 0, 0, 0},
    {"chunked not last", NULL, POST("Transfer-Encoding: chunked, gzip\r\n"), 400, 0, 0, 0, 0},
    {"chunked then identity", NULL,
     POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400, 0, 0, 0, 0},
    {"gzip, chunked", NULL, POST("Transfer-Encoding: gzip, chunked\r\n"), 501, 0, 0, 0, 0},
    {"identity", NULL, POST("Transfer-Encoding: identity\r\n"), 501, 0, 0, 0, 0},
    {"xchunked", NULL, POST("Transfer-Encoding: xchunked\r\n"), 501, 0, 0, 0, 0},
    {"chunked with parameter", NULL, POST("Transfer-Encoding: chunked;a=b\r\n"), 501, 0, 0, 0, 0},
    {"quoted chunked", NULL, POST("Transfer-Encoding: \"chunked\"\r\n"), 501, 0, 0, 0, 0},
    {"vertical tab before chunked", NULL, POST("Transfer-Encoding: \vchunked\r\n"), 400, 0, 0, 0,
     0},
    {"empty coding", NULL, POST("Transfer-Encoding:\r\n"), 400, 0, 0, 0, 0},
    {"comma behind chunked", NULL, POST("Transfer-Encoding: chunked,\r\n"), 400, 0, 0, 0, 0},
    {"coding in HTTP/1.0", NULL, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 0, 0,
     0, 0},
    {"folded line", NULL, GET(H "X: a\r\n b\r\n"), 400, 0, 0, 0, 0},
    {"line folded with tab", NULL, GET(H "X: a\r\n\tb: c\r\n"), 400, 0, 0, 0, 0},
    {"first header indented", NULL, GET(" X: a\r\n" H), 400, 0, 0, 0, 0},
    {"space before colon", NULL, GET(H "X : a\r\n"), 400, 0, 0, 0, 0},
    {"tab before colon", NULL, GET(H "Content-Length\t: 5\r\n"), 400, 0, 0, 0, 0},
    {"no colon", NULL, GET(H "X\r\n"), 400, 0, 0, 0, 0},
    {"no name", NULL, GET(H ": a\r\n"), 400, 0, 0, 0, 0},
    {"high byte in name", NULL, GET(H "X\xff: a\r\n"), 400, 0, 0, 0, 0},
    {"bare LF after request line", NULL, "GET / HTTP/1.1\nHost: h\r\n\r\n", 400, 0, 0, 0, 0},
    {"bare LF after header", NULL, "GET / HTTP/1.1\r\nHost: h\n\r\n", 400, 0, 0, 0, 0},
    {"bare LF ends head", NULL, "GET / HTTP/1.1\r\nHost: h\r\n\n", 400, 0, 0, 0, 0},
    {"bare LF first", NULL, "\nGET / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"bare CR in value", NULL, GET(H "X: a\rb\r\n"), 400, 0, 0, 0, 0},
    {"bare CR hides a header", NULL, GET(H "X: a\rContent-Length: 5\r\n"), 400, 0, 0, 0, 0},
    {"CR CR LF", NULL, GET(H "X: a\r\r\n"), 400, 0, 0, 0, 0},
    {"bare CR first", NULL, "\rGET / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"CR in request line", NULL, "GET / HTTP/1.1\r\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"two empty lines first", NULL, "\r\n\r\n" GET(H), 400, 0, 0, 0, 0},
    {"control byte in value", NULL, GET(H "X: a\x01\r\n"), 400, 0, 0, 0, 0},
    {"DEL in value", NULL, GET(H "X: a\x7f\r\n"), 400, 0, 0, 0, 0},
    {"no Host", NULL, GET("X: a\r\n"), 400, 0, 0, 0, 0},
    {"Host twice", NULL, GET(H H), 400, 0, 0, 0, 0},
    {"Host twice in HTTP/1.0", NULL, "GET / HTTP/1.0\r\n" H H "\r\n", 400, 0, 0, 0, 0},
    {"Host list", NULL, GET("Host: a, b\r\n"), 400, 0, 0, 0, 0},
    {"Host with two ports", NULL, GET("Host: h:1:2\r\n"), 400, 0, 0, 0, 0},
    {"Host with odd port", NULL, GET("Host: h:8o\r\n"), 400, 0, 0, 0, 0},
    {"Host with high port", NULL, GET("Host: h:65536\r\n"), 400, 0, 0, 0, 0},
    {"Host of a port", NULL, GET("Host: :80\r\n"), 400, 0, 0, 0, 0},
    {"Host with open bracket", NULL, GET("Host: [::1\r\n"), 400, 0, 0, 0, 0},
    {"Host with text behind the bracket", NULL, GET("Host: [::1]x\r\n"), 400, 0, 0, 0, 0},
    {"Host with closed bracket", NULL, GET("Host: a]\r\n"), 400, 0, 0, 0, 0},
    {"Host with inner bracket", NULL, GET("Host: a[b\r\n"), 400, 0, 0, 0, 0},
    {"absolute form without host", NULL, "GET http:///p HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"absolute form, nothing else", NULL, "GET http:// HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"absolute form with user", NULL, "GET http://u@h/ HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"absolute form, query without path or host", NULL, "GET http://?q HTTP/1.1\r\n" H "\r\n", 400,
     0, 0, 0, 0},
    {"CONNECT without port", NULL, "CONNECT h HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"Host with path", NULL, GET("Host: a/b\r\n"), 400, 0, 0, 0, 0},
    {"Host with user", NULL, GET("Host: u@a\r\n"), 400, 0, 0, 0, 0},
    {"no version", NULL, "GET /\r\n\r\n", 400, 0, 0, 0, 0},
    {"method only", NULL, "GET\r\n\r\n", 400, 0, 0, 0, 0},
    {"lower-case version", NULL, "GET / http/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"version 1.10", NULL, "GET / HTTP/1.10\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"version 1,1", NULL, "GET / HTTP/1,1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"version 2.0", NULL, "GET / HTTP/2.0\r\n" H "\r\n", 505, 0, 0, 0, 0},
    {"version 0.9", NULL, "GET / HTTP/0.9\r\n" H "\r\n", 505, 0, 0, 0, 0},
    {"HTTP/2 preface", NULL, "PRI * HTTP/2.0\r\n\r\n", 400, 0, 0, 0, 0},
    {"two spaces", NULL, "GET  / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"two spaces before version", NULL, "GET /  HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"space behind version", NULL, "GET / HTTP/1.1 \r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"tab as separator", NULL, "GET\t/ HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"leading space", NULL, " GET / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"bad method", NULL, "G(T / HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"relative target", NULL, "GET x HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"asterisk for GET", NULL, "GET * HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"other scheme", NULL, "GET ftp://h/ HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"fragment", NULL, "GET /#f HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"high byte in target", NULL, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"control byte in target", NULL, "GET /\x01 HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"CONNECT with path", NULL, "CONNECT /x HTTP/1.1\r\n" H "\r\n", 400, 0, 0, 0, 0},
    {"TLS hello", NULL, "\x16\x03\x01", 400, 0, 0, 0, 0},

    {"200 with length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 3, KEEP, 1},
    {"200 chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", GOOD,
     HTTP_BODY_CHUNKED, -1, KEEP, 1},
    {"200 until close", "GET", "HTTP/1.1 200 OK\r\n\r\n", GOOD, HTTP_BODY_UNTIL_CLOSE, -1, CLOSE,
     0},
    {"answer in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 3, HTTP10, 1},
    {"no reason", "GET", "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", GOOD, HTTP_BODY_LENGTH, 0,
     KEEP, 1},
    {"no space, no reason", "GET", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 0, KEEP, 1},
    {"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", GOOD, HTTP_BODY_NONE, 3, KEEP,
     1},
    {"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", GOOD,
     HTTP_BODY_NONE, -1, KEEP, 1},
    {"100", "PUT", "HTTP/1.1 100 Continue\r\n\r\n", GOOD, HTTP_BODY_NONE, -1, KEEP, 0},
    {"103 with length", "GET", "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_NONE, 3, KEEP, 1},
    {"101", "GET",
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", GOOD,
     HTTP_BODY_NONE, -1, KEEP | UPGRADE, 2},
    {"204 with length", "PUT", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_NONE, 3, KEEP, 1},
    {"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_NONE, 3, KEEP, 1},
    {"2xx to CONNECT", "CONNECT",
     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", GOOD,
     HTTP_BODY_NONE, -1, CLOSE, 2},
    {"407 to CONNECT", "CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 3, KEEP, 1},
    {"answer needs no Host", "GET", "HTTP/1.1 500 a \xff\r\nHost: a b\r\nContent-Length: 0\r\n\r\n",
     GOOD, HTTP_BODY_LENGTH, 0, KEEP, 2},
    {"answer with length and coding", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer with two lengths", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer with one length twice", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", GOOD, HTTP_BODY_LENGTH, 3,
     KEEP, 2},
    {"answer with a length list", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3,3\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 3, KEEP, 1},
    {"answer with a list of two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\n",
     -1, 0, 0, 0, 0},
    {"answer with a list and another length", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 4\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer with an empty length in a list", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 3,\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer with no length in a list", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3, x\r\n\r\n",
     -1, 0, 0, 0, 0},
    {"answer with one length twice and coding", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nTransfer-Encoding: chunked\r\n\r\n", -1, 0, 0, 0,
     0},
    {"answer with other coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", -1, 0,
     0, 0, 0},
    {"answer in HTTP/1.0 with coding", "GET",
     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer begins with empty line", "GET", "\r\nHTTP/1.1 200 OK\r\n\r\n", -1, 0, 0, 0, 0},
    {"status 99", "GET", "HTTP/1.1 099 x\r\n\r\n", -1, 0, 0, 0, 0},
    {"status 600", "GET", "HTTP/1.1 600 x\r\n\r\n", GOOD, HTTP_BODY_UNTIL_CLOSE, -1, CLOSE, 0},
    {"status 999", "GET", "HTTP/1.1 999\r\nContent-Length: 3\r\n\r\n", GOOD, HTTP_BODY_LENGTH, 3,
     KEEP, 1},
    {"status 0", "GET", "HTTP/1.1 000 x\r\n\r\n", -1, 0, 0, 0, 0},
    {"status of 4 digits", "GET", "HTTP/1.1 2000 x\r\n\r\n", -1, 0, 0, 0, 0},
    {"status of 4 digits, no reason", "GET", "HTTP/1.1 2000\r\n\r\n", -1, 0, 0, 0, 0},
    {"status of 2 digits", "GET", "HTTP/1.1 20 x\r\n\r\n", -1, 0, 0, 0, 0},
    {"status with sign", "GET", "HTTP/1.1 +20 x\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer in HTTP/2", "GET", "HTTP/2.0 200 OK\r\n\r\n", -1, 0, 0, 0, 0},
    {"control byte in reason", "GET", "HTTP/1.1 200 O\x01K\r\n\r\n", -1, 0, 0, 0, 0},
    {"not an answer", "GET", "SSH-2.0-OpenSSH\r\n", -1, 0, 0, 0, 0},
    {"folded answer", "GET", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 3, KEEP, 2},
    {"answer folded with tabs, often", "GET",
     "HTTP/1.1 200 OK\r\nContent-Length:\r\n\t3\r\n \r\n\t\r\n\r\n", GOOD, HTTP_BODY_LENGTH, 3,
     KEEP, 1},
    {"a folded length list", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3,\r\n 3\r\n\r\n", GOOD,
     HTTP_BODY_LENGTH, 3, KEEP, 1},
    {"a length that is folded apart", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n 3\r\n\r\n",
     -1, 0, 0, 0, 0},
    {"a folded coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", GOOD,
     HTTP_BODY_CHUNKED, -1, KEEP, 1},
    {"a length hidden in a fold", "GET", "HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 3\r\n\r\n",
     GOOD, HTTP_BODY_UNTIL_CLOSE, -1, CLOSE, 1},
    {"a name that is folded", "GET", "HTTP/1.1 200 OK\r\nA: b\r\nX\r\n : a\r\n\r\n", -1, 0, 0, 0,
     0},
    {"a fold behind the status line", "GET", "HTTP/1.1 200 OK\r\n X: a\r\n\r\n", -1, 0, 0, 0, 0},
    {"answer with bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 3\n\n", -1, 0, 0, 0, 0},
};

struct outcome {
    enum io io;
    int status;
    size_t size;
};

/* Feeds growing parts of the text: from `first` bytes on in steps of `step`, each in memory of just
 * its size. The caller frees *memory, which *head points into. */
static struct outcome feed(const struct head_case *c, size_t first, size_t step,
                           struct http_head *head, char **memory, struct err *e)
{
    struct http_head_parser parser = {0};
    struct outcome o = {IO_WANT_READ, 0, 0};
    size_t len = strlen(c->text), given = first;

    *memory = NULL;
    for (;;) {
        free(*memory);
        *memory = malloc(given + (given == 0));
        memcpy(*memory, c->text, given);
        o.io = http_head_parse(&parser, c->request_method == NULL ? HTTP_REQUEST : HTTP_RESPONSE,
                               (struct str){*memory, given}, str_of(c->request_method), head,
                               &o.status, e);
        if (o.io != IO_WANT_READ || given == len)
            break;
        given = given + step < len ? given + step : len;
    }
    o.size = o.io == IO_DONE ? head->size : 0;
    return o;
}

static void check_good(const struct head_case *c, const struct http_head *h)
{
    unsigned flags = (h->is_keep_alive ? KEEP : 0) | (h->expects_continue ? CONTINUE : 0) |
                     (h->is_upgrade ? UPGRADE : 0) | (h->minor_version == 0 ? HTTP10 : 0);

    if (h->framing != c->framing || h->content_length != c->length || flags != c->flags ||
        h->header_count != c->headers)
        fail_msg("%s: framing %d, length %lld, flags %u, headers %zu", c->name, h->framing,
                 (long long)h->content_length, flags, h->header_count);
}

static void check(const struct head_case *c, size_t first, size_t step)
{
    bool is_good = c->status == 0;
    struct err e = {0};
    struct http_head head;
    char *memory;

    memset(&head, 0x5a, sizeof head);
    struct outcome o = feed(c, first, step, &head, &memory, &e);
    if (o.io != (is_good ? IO_DONE : IO_ERR))
        fail_msg("%s (first %zu, step %zu): io %d: %s", c->name, first, step, o.io, e.msg);
    if (!is_good && (o.status != (c->status < 0 ? 0 : c->status) || e.code != ERR_PROTOCOL))
        fail_msg("%s (first %zu, step %zu): status %d: %s", c->name, first, step, o.status, e.msg);
    if (is_good && o.size != strlen(c->text))
        fail_msg("%s: size %zu of %zu", c->name, o.size, strlen(c->text));
    if (is_good)
        check_good(c, &head);
    free(memory);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].text);
        check(&cases[i], 0, 1);
        for (size_t split = 0; split <= len; split++)
            check(&cases[i], split, len);
    }
}

static enum io parse(enum http_kind kind, struct str text, struct http_head *head, int *status)
{
    struct http_head_parser parser = {0};
    struct err e = {0};

    enum io io = http_head_parse(&parser, kind, text, STR("GET"), head, status, &e);
    if (io == IO_ERR)
        assert_int_equal(e.code, *status == 414 || *status == 431 ? ERR_TOO_LARGE : ERR_PROTOCOL);
    return io;
}

static void test_parts(void **state)
{
    struct str text =
        STR("\r\nPOST /r/n?q HTTP/1.1\r\nHost:  h:1 \r\nX-Y:a \tb\t\r\nx-y: c\r\n\r\nrest");
    struct http_head h;
    int status;

    (void)state;
    assert_int_equal(parse(HTTP_REQUEST, text, &h, &status), IO_DONE);
    assert_int_equal(h.size, text.len - 4);
    assert_true(str_equal(h.method, STR("POST")));
    assert_true(str_equal(h.target, STR("/r/n?q")));
    assert_int_equal(h.status, 0);
    assert_true(str_equal(h.headers[1].name, STR("X-Y")));
    assert_true(str_equal(*http_head_get(&h, "host"), STR("h:1")));
    assert_true(str_equal(*http_head_get(&h, "x-Y"), STR("a \tb")));
    assert_null(http_head_get(&h, "X"));
    text = STR("HTTP/1.1 206 Some Content\r\n\r\n");
    assert_int_equal(parse(HTTP_RESPONSE, text, &h, &status), IO_DONE);
    assert_int_equal(h.status, 206);
    assert_true(str_equal(h.reason, STR("Some Content")));
}

static void test_folds_become_spaces(void **state)
{
    char text[] =
        "HTTP/1.1 302 Found\r\nLocation:\r\n\thttp://h/\r\nX: a\r\n \r\n  b\r\n\r\nY: c\r\n d";
    struct http_head h;
    int status;

    (void)state;
    assert_int_equal(parse(HTTP_RESPONSE, str_of(text), &h, &status), IO_DONE);
    assert_true(str_equal(*http_head_redirection(&h), STR("http://h/")));
    assert_true(str_equal(*http_head_get(&h, "X"), STR("a       b")));
    assert_string_equal(text + h.size, "Y: c\r\n d"); /* what follows is untouched */
}

static void test_nul(void **state)
{
    static const struct str texts[] = {
        {"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 29},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n", 33},
        {"GET / HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n", 34},
        {"\0", 1},
    };
    struct http_head h;
    int status;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        status = 0;
        assert_int_equal(parse(HTTP_REQUEST, texts[i], &h, &status), IO_ERR);
        assert_int_equal(status, 400);
    }
}

/* Errors show the bad thing, but not what may be secret. */
static void test_errors(void **state)
{
    static const struct {
        enum http_kind kind;
        const char *text, *want;
    } texts[] = {
        {HTTP_REQUEST, "GET x?sig=hush HTTP/1.1\r\n\r\n", "HTTP request: bad target \"x\""},
        {HTTP_REQUEST, "GET /x?sig=hush HTTP/1.1 \r\n\r\n", "bad version \"HTTP/1.1 \""},
        {HTTP_REQUEST, "GET /x?sig=hush\r\n\r\n", "bad request line"},
        {HTTP_REQUEST, "GET / HTTP/1.1\r\nAuthorization hush\r\n\r\n", "header without a colon"},
        {HTTP_REQUEST, "GET / HTTP/1.1\r\nX-Key: hush\x01\r\n\r\n",
         "control byte in the header \"X-Key\""},
        {HTTP_REQUEST, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad Host \"a b\""},
        {HTTP_RESPONSE, "HTTP/1.1 2x0 hi\r\n\r\n",
         "HTTP answer: bad status line \"HTTP/1.1 2x0 hi\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct http_head_parser parser = {0};
        struct http_head head;
        struct err e = {0};
        int status;
        assert_int_equal(http_head_parse(&parser, texts[i].kind, str_of(texts[i].text), STR(""),
                                         &head, &status, &e),
                         IO_ERR);
        if (strstr(e.msg, texts[i].want) == NULL || strstr(e.msg, "hush") != NULL)
            fail_msg("%s", e.msg);
    }
}

static void test_limits(void **state)
{
    struct buf text = {0};
    struct http_head h;
    int status = 0;

    (void)state;
    /* As many headers as may be, then one more. */
    buf_puts(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 1; i < HTTP_MAX_HEADERS; i++)
        buf_puts(&text, "a:b\r\n");
    size_t len = text.len;
    buf_puts(&text, "\r\n");
    assert_int_equal(parse(HTTP_REQUEST, buf_str(&text), &h, &status), IO_DONE);
    assert_int_equal(h.header_count, HTTP_MAX_HEADERS);
    text.len = len;
    buf_puts(&text, "a:b\r\n\r\n");
    assert_int_equal(parse(HTTP_REQUEST, buf_str(&text), &h, &status), IO_ERR);
    assert_int_equal(status, 431);
    /* A head of just the largest size, then one byte more. */
    for (int extra = 0; extra < 2; extra++) {
        buf_clear(&text);
        buf_puts(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
        while (text.len < (size_t)(HTTP_MAX_HEAD_BYTES - 4 + extra))
            buf_putc(&text, 'x');
        buf_puts(&text, "\r\n\r\n");
        status = 0;
        assert_int_equal(parse(HTTP_REQUEST, buf_str(&text), &h, &status),
                         extra ? IO_ERR : IO_DONE);
        assert_int_equal(status, extra ? 431 : 0);
    }
    /* A target of just the largest size, then one byte more, then one without end. */
    for (int extra = 0; extra < 2; extra++) {
        buf_clear(&text);
        buf_puts(&text, "GET /");
        for (int i = 1; i < HTTP_MAX_TARGET_BYTES + extra; i++)
            buf_putc(&text, 'x');
        buf_puts(&text, " HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(parse(HTTP_REQUEST, buf_str(&text), &h, &status),
                         extra ? IO_ERR : IO_DONE);
        assert_int_equal(status, extra ? 414 : 0);
    }
    text.len = 5;
    while (text.len < HTTP_MAX_HEAD_BYTES - 1)
        buf_putc(&text, 'x');
    assert_int_equal(parse(HTTP_REQUEST, buf_str(&text), &h, &status), IO_WANT_READ);
    buf_putc(&text, 'x');
    assert_int_equal(parse(HTTP_REQUEST, buf_str(&text), &h, &status), IO_ERR);
    assert_int_equal(status, 414);
    buf_free(&text);
}

static void test_path(void **state)
{
    static const struct {
        const char *target, *want;
    } paths[] = {
        {"/", "/"},
        {"/a?b", "/a?b"},
        {"http://h", "/"},
        {"http://h/", "/"},
        {"http://h?x", "?x"},
        {"ws://h/x", "/x"},
        {"WSS://h", "/"},
        {"http://h?x=/y", "?x=/y"},
        {"http://h/?x", "/?x"},
        {"HTTPS://h:1/a//b?c", "/a//b?c"},
        {"*", "*"},
        {"/http://h/x", "/http://h/x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct http_head h = {.target = str_of(paths[i].target)};
        struct str got = http_head_path(&h);
        if (!str_equal(got, str_of(paths[i].want)))
            fail_msg("%s: \"%.*s\"", paths[i].target, STR_ARG(got));
    }
}

static void test_lists(void **state)
{
    struct str text =
        STR("GET / HTTP/1.1\r\nHost: h\r\nConnection: a,, B ,\tc\r\nX: b\r\n"
            "Connection: d\r\nContent-Type: Application/JSON ; charset=utf-8\r\n\r\n");
    struct http_head h;
    int status;

    (void)state;
    assert_int_equal(parse(HTTP_REQUEST, text, &h, &status), IO_DONE);
    assert_true(http_head_has_token(&h, "host", "H"));
    assert_true(http_head_has_token(&h, "connection", "b"));
    assert_true(http_head_has_token(&h, "Connection", "C"));
    assert_true(http_head_has_token(&h, "Connection", "d"));
    assert_false(http_head_has_token(&h, "Connection", "a,"));
    assert_false(http_head_has_token(&h, "Connection", "bc"));
    assert_false(http_head_has_token(&h, "Y", "b"));
    assert_true(http_head_is_content_type(&h, "application/json"));
    assert_false(http_head_is_content_type(&h, "application"));
    h.header_count = 1;
    assert_false(http_head_is_content_type(&h, "application/json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_folds_become_spaces),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
