/* Frames that come in pieces are read as those that come whole; what was read is read again when it
 * is put. */
#include <string.h>

#include "fuzz.h"
#include "proto/ws_frame.h"

enum { LIMIT = 4096 };

/* Reads all of `text`; what happened is appended to `told`, and the messages to `again` as this
 * side's peer would put them. */
static void read_all(enum ws_role role, struct str text, uint32_t *seed, struct buf *told,
                     struct buf *again)
{
    static const unsigned char mask[4] = {0xde, 0xad, 0xbe, 0xef};
    struct ws_reader r;
    size_t at = 0, end = 0;
    enum io io = IO_WANT_READ;

    ws_reader_init(&r, role, LIMIT);
    while (io != IO_ERR && (at < text.len || end == 0)) {
        if (at == end)
            end = seed == NULL ? text.len : end + fuzz_piece(seed);
        struct str piece = str_slice(text, at, end);
        struct ws_event event;
        unsigned close_code = 0;
        struct err e;
        size_t used;
        io = ws_frame_read(&r, piece, &used, &event, &close_code, &e);
        require(used <= piece.len);
        at += used;
        if (io == IO_ERR) {
            require(close_code == WS_CLOSE_PROTOCOL || close_code == WS_CLOSE_BAD_DATA ||
                    close_code == WS_CLOSE_TOO_BIG);
            buf_printf(told, "error %u", close_code);
        } else if (io == IO_DONE) {
            require(event.payload.len <= (event.opcode >= WS_CLOSE ? WS_MAX_CONTROL_BYTES : LIMIT));
            require((event.opcode != WS_TEXT && event.opcode != WS_CLOSE) ||
                    str_is_utf8(event.payload));
            buf_printf(told, "%d %u \"", event.opcode, event.close_code);
            buf_put(told, event.payload);
            buf_puts(told, "\" ");
            if (again != NULL && event.opcode == WS_CLOSE)
                ws_frame_put_close(again, event.close_code, event.payload,
                                   role == WS_SERVER ? mask : NULL);
            else if (again != NULL)
                ws_frame_put(again, event.opcode, event.payload, role == WS_SERVER ? mask : NULL);
        } else {
            require(at == text.len || at == end);
            if (end >= text.len)
                break;
        }
    }
    ws_reader_deinit(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    unsigned choice = fuzz_take(&text);
    enum ws_role role = (choice & 1) != 0 ? WS_SERVER : WS_CLIENT;
    uint32_t seed = choice * 7919 + (uint32_t)size;
    struct buf whole = {0}, pieces = {0}, again = {0}, reread = {0};

    read_all(role, text, NULL, &whole, &again);
    read_all(role, text, &seed, &pieces, NULL);
    require(str_equal(buf_str(&whole), buf_str(&pieces)));
    read_all(role, buf_str(&again), NULL, &reread, NULL);
    require(str_starts_with(buf_str(&whole), buf_str(&reread)));
    struct str rest = str_slice(buf_str(&whole), reread.len, whole.len);
    require(rest.len == 0 || str_starts_with(rest, STR("error ")));
    buf_free(&whole);
    buf_free(&pieces);
    buf_free(&again);
    buf_free(&reread);
    return 0;
}
