/* WebSocket frames: each case whole, byte by byte and at every two-way split. What is read is told
 * as words: T"text" B"binary" P"ping" O"pong" C1000"close" and E1002 for a violation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ws_frame.h"

enum { LIMIT = 200 };

#define BYTES(literal)                                                                             \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct read_case {
    const char *name;
    enum ws_role role;
    struct str input;
    const char *want;
} cases[] = {
#define CL WS_CLIENT
    {"nothing", CL, BYTES(""), ""},
    {"text", CL, BYTES("\x81\x05hello"), "T\"hello\" "},
    {"empty text", CL, BYTES("\x81\0"), "T\"\" "},
    {"binary", CL, BYTES("\x82\x02\xff\n"), "B\"\xff\n\" "},
    {"empty binary", CL, BYTES("\x82\0"), "B\"\" "},
    {"several", CL,
     BYTES("\x81\x01"
           "a\x82\x01"
           "b\x81\x01"
           "c"),
     "T\"a\" B\"b\" T\"c\" "},
    {"several longer ones", CL, BYTES("\x81\x03one\x01\x02th\x80\x03ree"), "T\"one\" T\"three\" "},
    {"cut in the head", CL, BYTES("\x81"), ""},
    {"cut in the payload", CL, BYTES("\x81\x05hell"), ""},
    {"fragments", CL, BYTES("\x01\x02he\0\x01l\x80\x02lo"), "T\"hello\" "},
    {"empty fragments", CL, BYTES("\x02\0\0\0\x80\0"), "B\"\" "},
    {"last fragment empty", CL,
     BYTES("\x01\x01"
           "a\x80\0"),
     "T\"a\" "},
    {"ping between fragments", CL,
     BYTES("\x01\x01"
           "a\x89\x01p\x8a\0\x80\x01"
           "b"),
     "P\"p\" O\"\" T\"ab\" "},
    {"ping of 125 bytes", CL,
     BYTES("\x89\x7d"
           "01234567890123456789012345678901234567890123456789012345678901"
           "234567890123456789012345678901234567890123456789012345678901234"),
     "P\"01234567890123456789012345678901234567890123456789012345678901"
     "234567890123456789012345678901234567890123456789012345678901234\" "},
    {"close", CL, BYTES("\x88\0"), "C1005\"\" "},
    {"close with code", CL, BYTES("\x88\x02\x03\xe8"), "C1000\"\" "},
    {"close with reason", CL, BYTES("\x88\x06\x0f\xa1no\xc3\xa4"), "C4001\"no\xc3\xa4\" "},
    {"close between fragments", CL,
     BYTES("\x01\x01"
           "a\x88\0"),
     "C1005\"\" "},
    {"lowest codes", CL, BYTES("\x88\x02\x0b\xb8"), "C3000\"\" "},
    {"highest code", CL, BYTES("\x88\x02\x13\x87"), "C4999\"\" "},
    {"code 1003", CL, BYTES("\x88\x02\x03\xeb"), "C1003\"\" "},
    {"code 1007", CL, BYTES("\x88\x02\x03\xef"), "C1007\"\" "},
    {"code 1014", CL, BYTES("\x88\x02\x03\xf6"), "C1014\"\" "},
    {"16-bit length", CL,
     BYTES("\x82\x7e\0\x7e"
           "012345678901234567890123456789012345678901234567890123456789012"
           "345678901234567890123456789012345678901234567890123456789012345"),
     "B\"012345678901234567890123456789012345678901234567890123456789012"
     "345678901234567890123456789012345678901234567890123456789012345\" "},

    {"reserved bit 1", CL,
     BYTES("\xc1\x01"
           "a"),
     "E1002 "},
    {"reserved bit 2", CL,
     BYTES("\xa1\x01"
           "a"),
     "E1002 "},
    {"reserved bit 3", CL,
     BYTES("\x91\x01"
           "a"),
     "E1002 "},
    {"reserved bit in a ping", CL, BYTES("\xc9\0"), "E1002 "},
    {"opcode 3", CL, BYTES("\x83\0"), "E1002 "},
    {"opcode 7", CL, BYTES("\x87\0"), "E1002 "},
    {"opcode 11", CL, BYTES("\x8b\0"), "E1002 "},
    {"opcode 15", CL, BYTES("\x8f\0"), "E1002 "},
    {"fragmented ping", CL, BYTES("\x09\x01p"), "E1002 "},
    {"fragmented close", CL, BYTES("\x08\0"), "E1002 "},
    {"ping of 126 bytes", CL, BYTES("\x89\x7e\0\x7e"), "E1002 "},
    {"close of 126 bytes", CL, BYTES("\x88\x7e\0\x7e"), "E1002 "},
    {"masked frame from a server", CL, BYTES("\x81\x81\0\0\0\0a"), "E1002 "},
    {"continuation first", CL,
     BYTES("\x80\x01"
           "a"),
     "E1002 "},
    {"continuation behind a message", CL,
     BYTES("\x81\x01"
           "a\x80\x01"
           "b"),
     "T\"a\" E1002 "},
    {"unfinished continuation first", CL,
     BYTES("\0\x01"
           "a"),
     "E1002 "},
    {"text inside a message", CL,
     BYTES("\x01\x01"
           "a\x81\x01"
           "b"),
     "E1002 "},
    {"binary inside a message", CL,
     BYTES("\x01\x01"
           "a\x02\x01"
           "b"),
     "E1002 "},
    {"16-bit length of 125", CL, BYTES("\x82\x7e\0\x7d"), "E1002 "},
    {"64-bit length of 65535", CL, BYTES("\x82\x7f\0\0\0\0\0\0\xff\xff"), "E1002 "},
    {"64-bit length of 0", CL, BYTES("\x82\x7f\0\0\0\0\0\0\0\0"), "E1002 "},
    {"top bit of the length", CL, BYTES("\x82\x7f\x80\0\0\0\0\x01\0\0"), "E1002 "},
    {"too large", CL, BYTES("\x82\x7e\0\xc9"), "E1009 "},
    {"far too large", CL, BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), "E1009 "},
    {"fragments too large together", CL,
     BYTES("\x02\x02"
           "ab\x80\x7e\0\xc7"),
     "E1009 "},
    {"close of one byte", CL, BYTES("\x88\x01\x03"), "E1002 "},
    {"code 0", CL, BYTES("\x88\x02\0\0"), "E1002 "},
    {"code 999", CL, BYTES("\x88\x02\x03\xe7"), "E1002 "},
    {"code 1004", CL, BYTES("\x88\x02\x03\xec"), "E1002 "},
    {"code 1005", CL, BYTES("\x88\x02\x03\xed"), "E1002 "},
    {"code 1006", CL, BYTES("\x88\x02\x03\xee"), "E1002 "},
    {"code 1015", CL, BYTES("\x88\x02\x03\xf7"), "E1002 "},
    {"code 1016", CL, BYTES("\x88\x02\x03\xf8"), "E1002 "},
    {"code 2999", CL, BYTES("\x88\x02\x0b\xb7"), "E1002 "},
    {"code 5000", CL, BYTES("\x88\x02\x13\x88"), "E1002 "},
    {"code 65535", CL, BYTES("\x88\x02\xff\xff"), "E1002 "},
    {"close reason is not UTF-8", CL, BYTES("\x88\x04\x03\xe8\xc3("), "E1007 "},
    {"close reason is cut", CL, BYTES("\x88\x03\x03\xe8\xc3"), "E1007 "},
    {"frame behind a close", CL,
     BYTES("\x88\0\x81\x01"
           "a"),
     "C1005\"\" E1002 "},

    {"UTF-8", CL, BYTES("\x81\x0b\xce\xba\xe1\xbd\xb9\xf0\x9f\x98\x80z\x7f"),
     "T\"\xce\xba\xe1\xbd\xb9\xf0\x9f\x98\x80z\x7f\" "},
    {"UTF-8 over fragments", CL, BYTES("\x01\x01\xf0\0\x02\x9f\x98\0\0\x80\x01\x80"),
     "T\"\xf0\x9f\x98\x80\" "},
    {"UTF-8 with a ping inside a character", CL, BYTES("\x01\x01\xc3\x89\x01\xc3\x80\x01\xa4"),
     "P\"\xc3\" T\"\xc3\xa4\" "},
    {"highest character", CL, BYTES("\x81\x04\xf4\x8f\xbf\xbf"), "T\"\xf4\x8f\xbf\xbf\" "},
    {"around the surrogates", CL, BYTES("\x81\x06\xed\x9f\xbf\xee\x80\x80"),
     "T\"\xed\x9f\xbf\xee\x80\x80\" "},
    {"lone continuation byte", CL, BYTES("\x81\x01\x80"), "E1007 "},
    {"bad at once, frame not finished", CL,
     BYTES("\x81\x7e\0\x80"
           "a\xff"),
     "E1007 "},
    {"bad at once, message not finished", CL, BYTES("\x01\x02\xc3("), "E1007 "},
    {"overlong of 2", CL, BYTES("\x81\x02\xc0\xaf"), "E1007 "},
    {"overlong of 3", CL, BYTES("\x81\x03\xe0\x80\xaf"), "E1007 "},
    {"overlong of 4", CL, BYTES("\x81\x04\xf0\x80\x80\xaf"), "E1007 "},
    {"surrogate", CL, BYTES("\x81\x03\xed\xa0\x80"), "E1007 "},
    {"above U+10FFFF", CL, BYTES("\x81\x04\xf4\x90\x80\x80"), "E1007 "},
    {"lead f5", CL, BYTES("\x81\x04\xf5\x80\x80\x80"), "E1007 "},
    {"cut character", CL, BYTES("\x81\x02\xe2\x82"), "E1007 "},
    {"cut character, last fragment", CL, BYTES("\x01\x01\xe2\x80\x01\x82"), "E1007 "},
    {"cut character, next message", CL, BYTES("\x82\x02\xe2\x82\x81\x01\xac"),
     "B\"\xe2\x82\" E1007 "},
    {"binary needs no UTF-8", CL, BYTES("\x02\x01\xff\x80\x01\xc3"), "B\"\xff\xc3\" "},
    {"eight ASCII bytes, then bad", CL,
     BYTES("\x81\x0a"
           "abcdefgh\xff"
           "i"),
     "E1007 "},
#undef CL
#define SV WS_SERVER
    {"masked text", SV, BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "T\"Hello\" "},
    {"masked, empty", SV, BYTES("\x81\x80\x37\xfa\x21\x3d"), "T\"\" "},
    {"masked with zeros", SV,
     BYTES("\x82\x8a\0\0\0\0"
           "0123456789"),
     "B\"0123456789\" "},
    {"masked ping", SV, BYTES("\x89\x82\x01\x02\x03\x04qk"), "P\"pi\" "},
    {"masked close", SV, BYTES("\x88\x82\x01\x02\x03\x04\x02\xea"), "C1000\"\" "},
    {"masked fragments, each its mask", SV,
     BYTES("\x01\x81\x01\0\0\0`\x80\x82\0\x02\0\0"
           "ba"),
     "T\"abc\" "},
    {"unmasked frame from a client", SV, BYTES("\x81\x05hello"), "E1002 "},
    {"unmasked close from a client", SV, BYTES("\x88\0"), "E1002 "},
    {"masked 16-bit length", SV, BYTES("\x82\xfe\0\x7d"), "E1002 "},
    {"masked, too large", SV, BYTES("\x82\xfe\0\xc9"), "E1009 "},
#undef SV
};

static void tell(struct buf *out, const struct ws_event *event)
{
    switch (event->opcode) {
    case WS_TEXT: buf_puts(out, "T"); break;
    case WS_BINARY: buf_puts(out, "B"); break;
    case WS_PING: buf_puts(out, "P"); break;
    case WS_PONG: buf_puts(out, "O"); break;
    case WS_CLOSE: buf_printf(out, "C%u", event->close_code); break;
    case WS_CONTINUATION: buf_puts(out, "?"); break;
    }
    buf_putc(out, '"');
    buf_put(out, event->payload);
    buf_puts(out, "\" ");
}

/* Reads a piece to its end; false after a violation. */
static bool read_piece(struct ws_reader *r, struct str piece, struct buf *told)
{
    /* Memory of just the piece's size: reading beyond it is seen. */
    char *memory = malloc(piece.len + (piece.len == 0));
    struct str rest = {memory, piece.len};
    struct err e = {0};
    enum io io;

    memcpy(memory, piece.p, piece.len);
    do {
        struct ws_event event;
        unsigned close_code = 0;
        size_t used;
        io = ws_frame_read(r, rest, &used, &event, &close_code, &e);
        rest = str_slice(rest, used, rest.len);
        if (io == IO_DONE)
            tell(told, &event);
        if (io == IO_ERR) {
            buf_printf(told, "E%u ", close_code);
            assert_int_equal(e.code, close_code == 1009 ? ERR_TOO_LARGE : ERR_PROTOCOL);
        }
    } while (io == IO_DONE);
    if (io == IO_WANT_READ)
        assert_int_equal(rest.len, 0);
    free(memory);
    return io == IO_WANT_READ;
}

static void check(const struct read_case *c, size_t first, size_t step)
{
    struct ws_reader r;
    struct buf told = {0};
    size_t at = 0, end = first;

    ws_reader_init(&r, c->role, LIMIT);
    while (read_piece(&r, str_slice(c->input, at, end), &told) && end < c->input.len) {
        at = end;
        end += step;
    }
    if (!str_equal(buf_str(&told), str_of(c->want)))
        fail_msg("%s (first %zu, step %zu): %s", c->name, first, step, buf_cstr(&told));
    buf_free(&told);
    ws_reader_deinit(&r);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i], 0, 1);
        for (size_t split = 0; split <= cases[i].input.len; split++)
            check(&cases[i], split, cases[i].input.len + 1);
    }
}

/* What is put is what is read: all lengths around the steps of the format, both directions, and in
 * pieces that start at every phase of the mask. */
static void test_round_trip(void **state)
{
    static const size_t lengths[] = {0,  1,   2,   3,   7,   8,   9,     15,    16,
                                     17, 124, 125, 126, 127, 128, 65535, 65536, 70000};
    static const unsigned char mask[4] = {0x12, 0xff, 0x00, 0x5b};
    struct buf payload = {0}, wire = {0};

    (void)state;
    for (size_t i = 0; i < 70000; i++)
        buf_putc(&payload, (char)(i * 7 % 127));
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof *lengths; i++) {
        enum ws_role reader = i % 2 == 0 ? WS_SERVER : WS_CLIENT;
        struct str sent = {payload.data, lengths[i / 2]};
        struct ws_event event = {0};
        struct ws_reader r;
        unsigned code = 0;
        size_t used, at = 0;
        buf_clear(&wire);
        enum ws_opcode opcode = i % 3 == 0 ? WS_TEXT : WS_BINARY;
        ws_frame_put(&wire, opcode, sent, reader == WS_SERVER ? mask : NULL);
        ws_reader_init(&r, reader, 70000);
        for (size_t end = i % 7; at < wire.len; end += 4099) {
            struct str piece = str_slice(buf_str(&wire), at, end);
            enum io io = ws_frame_read(&r, piece, &used, &event, &code, ERR_IGNORED);
            at += used;
            assert_int_equal(io, at == wire.len ? IO_DONE : IO_WANT_READ);
        }
        assert_int_equal(event.opcode, opcode);
        if (!str_equal(event.payload, sent))
            fail_msg("%zu bytes differ", sent.len);
        ws_reader_deinit(&r);
    }
    buf_free(&payload);
    buf_free(&wire);
}

/* The memory of a large message is not kept. */
static void test_memory_is_given_back(void **state)
{
    struct ws_event event;
    struct ws_reader r;
    struct buf wire = {0};
    unsigned code;
    size_t used;

    (void)state;
    ws_reader_init(&r, WS_CLIENT, 1 << 20);
    char *large = calloc(1, 1 << 20);
    ws_frame_put(&wire, WS_BINARY, (struct str){large, 1 << 20}, NULL);
    assert_int_equal(ws_frame_read(&r, buf_str(&wire), &used, &event, &code, ERR_IGNORED), IO_DONE);
    assert_int_equal(event.payload.len, 1 << 20);
    assert_int_equal(ws_frame_read(&r, STR("\x81"), &used, &event, &code, ERR_IGNORED),
                     IO_WANT_READ);
    assert_in_range(r.message.cap, 0, 16384);
    free(large);
    buf_free(&wire);
    ws_reader_deinit(&r);
}

static void test_put(void **state)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct buf out = {0};

    (void)state;
    ws_frame_put(&out, WS_TEXT, STR("Hello"), NULL);
    assert_int_equal(out.len, 7);
    assert_memory_equal(out.data, "\x81\x05Hello", 7);
    buf_clear(&out);
    ws_frame_put(&out, WS_TEXT, STR("Hello"), mask);
    assert_int_equal(out.len, 11);
    assert_memory_equal(out.data, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    buf_clear(&out);
    ws_frame_put_fragment(&out, WS_CONTINUATION, false, STR("x"), NULL);
    assert_memory_equal(out.data, "\0\x01x", 3);
    buf_clear(&out);
    ws_frame_put_fragment(&out, WS_PING, false, STR("x"), NULL);
    assert_true(out.failed);
    buf_free(&out);
}

static void test_put_control_limit(void **state)
{
    static const char payload[WS_MAX_CONTROL_BYTES + 1];
    struct buf out = {0};

    (void)state;
    ws_frame_put(&out, WS_PING, (struct str){payload, WS_MAX_CONTROL_BYTES}, NULL);
    assert_false(out.failed);
    ws_frame_put(&out, WS_PING, (struct str){payload, WS_MAX_CONTROL_BYTES + 1}, NULL);
    assert_true(out.failed);
    buf_free(&out);
}

static void test_put_close(void **state)
{
    char reason[200];
    struct buf out = {0};

    (void)state;
    ws_frame_put_close(&out, WS_CLOSE_NO_CODE, STR("ignored"), NULL);
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.data, "\x88\0", 2);
    buf_clear(&out);
    ws_frame_put_close(&out, WS_CLOSE_TAKEN, STR("no"), NULL);
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.data, "\x88\x04\x0f\xa9no", 6);
    /* 122 bytes and a character of two, which the limit of 123 would cut. */
    memset(reason, 'r', sizeof reason);
    memcpy(reason + 122, "\xc3\xa4", 2);
    buf_clear(&out);
    ws_frame_put_close(&out, 1000, (struct str){reason, sizeof reason}, NULL);
    assert_int_equal(out.len, 2 + 2 + 122);
    buf_clear(&out);
    ws_frame_put_close(&out, 1000, (struct str){reason, 122}, NULL);
    assert_int_equal(out.len, 2 + 2 + 122);
    memset(reason, 'r', sizeof reason);
    buf_clear(&out);
    ws_frame_put_close(&out, 1000, (struct str){reason, sizeof reason}, NULL);
    assert_int_equal(out.len, 2 + 2 + 123);
    buf_clear(&out);
    ws_frame_put_close(&out, 1000, STR("\xff"), NULL);
    assert_int_equal(out.len, 4);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_memory_is_given_back),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_put_control_limit),
        cmocka_unit_test(test_put_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
