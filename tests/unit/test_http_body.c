/* HTTP bodies: each case whole, byte by byte and at every two-way split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http_body.h"

static const struct body_case {
    const char *name;
    enum http_framing framing;
    int64_t length;
    const char *input;
    enum { COMPLETE, CUT, BAD } want; /* what it is when the input ends */
    const char *data;                 /* delivered; of bad bodies: until the error */
    size_t rest;                      /* bytes behind the body */
} cases[] = {
    {"none", HTTP_BODY_NONE, -1, "next", COMPLETE, "", 4},
    {"length 0", HTTP_BODY_LENGTH, 0, "next", COMPLETE, "", 4},
    {"length", HTTP_BODY_LENGTH, 5, "hellonext", COMPLETE, "hello", 4},
    {"length cut", HTTP_BODY_LENGTH, 5, "hell", CUT, "hell", 0},
    {"length without a byte", HTTP_BODY_LENGTH, 5, "", CUT, "", 0},
    {"until close", HTTP_BODY_UNTIL_CLOSE, -1, "hello", COMPLETE, "hello", 0},
    {"until close, empty", HTTP_BODY_UNTIL_CLOSE, -1, "", COMPLETE, "", 0},
#define C HTTP_BODY_CHUNKED, -1
    {"no chunk", C, "0\r\n\r\nnext", COMPLETE, "", 4},
    {"one chunk", C, "5\r\nhello\r\n0\r\n\r\n", COMPLETE, "hello", 0},
    {"chunks", C, "1\r\na\r\nA\r\n0123456789\r\n2\r\n\r\n\r\n0\r\n\r\nx", COMPLETE,
     "a0123456789\r\n", 1},
    {"leading zeros", C, "0005\r\nhello\r\n000\r\n\r\n", COMPLETE, "hello", 0},
    {"extensions", C, "5;a\r\nhello\r\n1 ;a=\"b;\t\xff\" ; c\r\n!\r\n0;z=z\r\n\r\n", COMPLETE,
     "hello!", 0},
    {"extensions with blanks and escapes", C,
     "1\t;\ta\t=\t\"\\\"\\\\;\"\t;b = c ;d\r\n!\r\n0 ; e=\"\"\r\n\r\n", COMPLETE, "!", 0},
    {"extension without a name", C, "1;\r\na\r\n", BAD, "", 0},
    {"extension without a name before the next", C, "1;;a\r\na\r\n", BAD, "", 0},
    {"blank instead of a name", C, "1; \r\na\r\n", BAD, "", 0},
    {"value without a name", C, "1;=a\r\na\r\n", BAD, "", 0},
    {"name without its value", C, "1;a=\r\na\r\n", BAD, "", 0},
    {"name without its value before the next", C, "1;a=;b\r\na\r\n", BAD, "", 0},
    {"two words as a name", C, "1;a b\r\na\r\n", BAD, "", 0},
    {"two words as a value", C, "1;a=b c\r\na\r\n", BAD, "", 0},
    {"two values", C, "1;a=b=c\r\na\r\n", BAD, "", 0},
    {"blank behind a name", C, "1;a \r\na\r\n", BAD, "", 0},
    {"blank behind a value", C, "1;a=b \r\na\r\n", BAD, "", 0},
    {"blank behind quotes", C, "1;a=\"b\" \r\na\r\n", BAD, "", 0},
    {"quotes that do not end", C, "1;a=\"b\r\na\r\n", BAD, "", 0},
    {"quotes that end twice", C, "1;a=\"b\"\"\r\na\r\n", BAD, "", 0},
    {"word behind quotes", C, "1;a=\"b\"c\r\na\r\n", BAD, "", 0},
    {"quotes as a name", C, "1;\"a\"\r\na\r\n", BAD, "", 0},
    {"quotes inside a value", C, "1;a=b\"c\"\r\na\r\n", BAD, "", 0},
    {"control byte behind a backslash", C, "1;a=\"\\\x01\"\r\na\r\n", BAD, "", 0},
    {"slash in a name", C, "1;a/b\r\na\r\n", BAD, "", 0},
    {"high byte in a name", C, "1;\xff\r\na\r\n", BAD, "", 0},
    {"trailers", C, "1\r\na\r\n0\r\nX-Y: z \t\xff\r\nContent-Length: 9\r\nE:\r\n\r\nnext", COMPLETE,
     "a", 4},
    {"digits", C, "9\r\n012345678\r\nF\r\n0123456789abcde\r\nf\r\n0123456789abcde\r\n0\r\n\r\n",
     COMPLETE, "0123456780123456789abcde0123456789abcde", 0},
    {"trailer name of all that may be", C, "0\r\n0189AZaz!#$%&'*+-.^_`|~: x\r\n~:\r\n\r\n",
     COMPLETE, "", 0},
    {"length 1", HTTP_BODY_LENGTH, 1, "xy", COMPLETE, "x", 1},
    {"cut in size", C, "5", CUT, "", 0},
    {"cut behind size", C, "5\r\n", CUT, "", 0},
    {"cut in data", C, "5\r\nhel", CUT, "hel", 0},
    {"cut behind data", C, "5\r\nhello\r\n", CUT, "hello", 0},
    {"cut before the last CRLF", C, "5\r\nhello\r\n0\r\n", CUT, "hello", 0},
    {"cut in the last CRLF", C, "5\r\nhello\r\n0\r\n\r", CUT, "hello", 0},
    {"cut in trailers", C, "0\r\nX: y\r\n", CUT, "", 0},
    {"size without digits", C, "\r\n", BAD, "", 0},
    {"size not hex", C, "g\r\n", BAD, "", 0},
    {"size with 0x", C, "0x5\r\nhello\r\n", BAD, "", 0},
    {"size with sign", C, "+5\r\nhello\r\n", BAD, "", 0},
    {"negative size", C, "-5\r\nhello\r\n", BAD, "", 0},
    {"space before size", C, " 5\r\nhello\r\n", BAD, "", 0},
    {"space behind size", C, "5 \r\nhello\r\n", BAD, "", 0},
    {"space inside size", C, "1 0\r\nhello\r\n", BAD, "", 0},
    {"extension without size", C, ";a\r\nhello\r\n", BAD, "", 0},
    {"largest size", C, "7fffffffffffffff\r\na", CUT, "a", 0},
    {"size 2^63", C, "8000000000000000\r\na", BAD, "", 0},
    {"size wraps", C, "10000000000000005\r\nhello\r\n", BAD, "", 0},
    {"size ends in LF", C, "5\nhello\r\n", BAD, "", 0},
    {"bare CR behind size", C, "5\rhello\r\n", BAD, "", 0},
    {"LF in extension", C, "5;a\nhello\r\n", BAD, "", 0},
    {"bare CR in extension", C, "5;a\rb\r\nhello\r\n", BAD, "", 0},
    {"control byte in extension", C, "5;a\x01\r\nhello\r\n", BAD, "", 0},
    {"data longer than size", C, "5\r\nhello!\r\n0\r\n\r\n", BAD, "hello", 0},
    {"data ends in LF", C, "5\r\nhello\n0\r\n\r\n", BAD, "hello", 0},
    {"data ends in CR", C, "5\r\nhello\r0\r\n\r\n", BAD, "hello", 0},
    {"no CRLF behind data", C, "5\r\nhello0\r\n\r\n", BAD, "hello", 0},
    {"bytes instead of the last CRLF", C, "0\r\nGET / HTTP/1.1\r\n\r\n", BAD, "", 0},
    {"last line ends in LF", C, "0\r\n\n", BAD, "", 0},
    {"last chunk ends in LF", C, "0\n\r\n", BAD, "", 0},
    {"trailer without colon", C, "0\r\nX\r\n\r\n", BAD, "", 0},
    {"trailer without name", C, "0\r\n: x\r\n\r\n", BAD, "", 0},
    {"trailer name with space", C, "0\r\nX : y\r\n\r\n", BAD, "", 0},
    {"folded trailer", C, "0\r\nX: y\r\n z\r\n\r\n", BAD, "", 0},
    {"bare LF in trailer", C, "0\r\nX: y\nZ: a\r\n\r\n", BAD, "", 0},
    {"bare CR in trailer", C, "0\r\nX: y\rz\r\n\r\n", BAD, "", 0},
    {"control byte in trailer", C, "0\r\nX: \x7f\r\n\r\n", BAD, "", 0},
#undef C
};

/* Decodes `piece` to its end or the body's; returns how much of it was consumed. */
static size_t decode_piece(struct http_body *body, struct str piece, struct buf *data, enum io *io,
                           struct err *e)
{
    /* Memory of just the piece's size: reading beyond it is seen. */
    char *memory = malloc(piece.len + (piece.len == 0));
    size_t at = 0, used;
    struct str part;

    memcpy(memory, piece.p, piece.len);
    do {
        *io = http_body_decode(body, (struct str){memory + at, piece.len - at}, &used, &part, e);
        buf_put(data, part);
        at += used;
    } while (*io == IO_DONE && !http_body_is_complete(body));
    free(memory);
    return at;
}

static void check(const struct body_case *c, size_t first, size_t step)
{
    struct str input = str_of(c->input);
    struct http_body body;
    struct buf data = {0};
    struct err e = {0};
    enum io io = IO_WANT_READ;
    size_t at = 0, end = first;

    http_body_init(&body, c->framing, c->length);
    for (;;) {
        at += decode_piece(&body, str_slice(input, at, end), &data, &io, &e);
        if (io == IO_ERR || http_body_is_complete(&body) || end >= input.len)
            break;
        if (at != end)
            fail_msg("%s: wants more and leaves %zu bytes", c->name, end - at);
        end += step;
    }
    bool is_cut = io == IO_WANT_READ && http_body_at_eof(&body, &e) == -1;
    if ((io == IO_ERR) != (c->want == BAD) || is_cut != (c->want == CUT))
        fail_msg("%s (first %zu, step %zu): io %d, cut %d: %s", c->name, first, step, io, is_cut,
                 e.msg);
    if (c->want != COMPLETE)
        assert_int_equal(e.code, c->want == BAD ? ERR_PROTOCOL : ERR_NETWORK);
    if (c->want == COMPLETE && (!http_body_is_complete(&body) || input.len - at != c->rest))
        fail_msg("%s: leaves %zu bytes", c->name, input.len - at);
    if (!str_equal(buf_str(&data), str_of(c->data)) || body.total != data.len)
        fail_msg("%s: data \"%.*s\"", c->name, STR_ARG(buf_str(&data)));
    buf_free(&data);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].input);
        check(&cases[i], 0, 1);
        for (size_t split = 0; split <= len; split++)
            check(&cases[i], split, len + 1);
    }
}

static enum io decode_all(struct str input, struct err *e)
{
    struct http_body body;
    struct buf data = {0};
    enum io io;

    http_body_init(&body, HTTP_BODY_CHUNKED, -1);
    decode_piece(&body, input, &data, &io, e);
    buf_free(&data);
    return io;
}

/* `head`, then so many times `fill`, then `tail`. */
static enum io decode_long(const char *head, const char *fill, size_t times, const char *tail)
{
    struct buf text = {0};
    struct err e = {0};

    buf_puts(&text, head);
    for (size_t i = 0; i < times; i++)
        buf_puts(&text, fill);
    buf_puts(&text, tail);
    enum io io = decode_all(buf_str(&text), &e);
    buf_free(&text);
    return io;
}

static void test_limits(void **state)
{
    (void)state;
    assert_int_equal(decode_long("1;", "x", HTTP_MAX_CHUNK_LINE - 4, "\r\na\r\n0\r\n\r\n"),
                     IO_DONE);
    assert_int_equal(decode_long("1;", "x", HTTP_MAX_CHUNK_LINE - 3, "\r\na\r\n0\r\n\r\n"), IO_ERR);
    assert_int_equal(
        decode_long("1\r\na\r\n1;", "x", HTTP_MAX_CHUNK_LINE - 4, "\r\na\r\n0\r\n\r\n"), IO_DONE);
    assert_int_equal(decode_long("", "0", HTTP_MAX_CHUNK_LINE - 2, "\r\n\r\n"), IO_DONE);
    assert_int_equal(decode_long("", "0", HTTP_MAX_CHUNK_LINE - 1, "\r\n\r\n"), IO_ERR);
    assert_int_equal(decode_long("0\r\nX:", "x", HTTP_MAX_TRAILER_BYTES - 6, "\r\n\r\n"), IO_DONE);
    assert_int_equal(decode_long("0\r\nX:", "x", HTTP_MAX_TRAILER_BYTES - 5, "\r\n\r\n"), IO_ERR);
    /* Tiny chunks with extensions of 16 bytes. */
    size_t most = HTTP_MAX_EXTENSION_BYTES / 16;
    assert_int_equal(decode_long("", "1;0123456789abcdef\r\na\r\n", most, "0\r\n\r\n"), IO_DONE);
    assert_int_equal(decode_long("", "1;0123456789abcdef\r\na\r\n", most + 1, "0\r\n\r\n"), IO_ERR);
}

/* An empty body is complete before a byte is read. */
static void test_empty(void **state)
{
    struct http_body body;

    (void)state;
    http_body_init(&body, HTTP_BODY_NONE, -1);
    assert_true(http_body_is_complete(&body));
    http_body_init(&body, HTTP_BODY_LENGTH, 0);
    assert_true(http_body_is_complete(&body));
    http_body_init(&body, HTTP_BODY_LENGTH, 1);
    assert_false(http_body_is_complete(&body));
    http_body_init(&body, HTTP_BODY_CHUNKED, 0);
    assert_false(http_body_is_complete(&body));
    http_body_init(&body, HTTP_BODY_UNTIL_CLOSE, 0);
    assert_false(http_body_is_complete(&body));
    assert_int_equal(http_body_at_eof(&body, ERR_IGNORED), 0);
    assert_true(http_body_is_complete(&body));
}

static void test_cut_says_how_much(void **state)
{
    struct http_body body;
    struct str data;
    struct err e = {0};
    size_t used;

    (void)state;
    http_body_init(&body, HTTP_BODY_LENGTH, 5000000000);
    assert_int_equal(http_body_decode(&body, STR("abc"), &used, &data, &e), IO_DONE);
    assert_int_equal(http_body_at_eof(&body, &e), -1);
    assert_string_equal(e.msg, "connection cut after 3 of 5000000000 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_empty), cmocka_unit_test(test_cut_says_how_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
