#include "proto/ws_frame.h"

#include <string.h>


enum { BIT_FIN = 0x80, BITS_RSV = 0x70, BITS_OPCODE = 0x0f, BIT_MASK = 0x80, BITS_LENGTH = 0x7f };

/* Copies `len` bytes masked (or unmasked: it is the same); `offset` is that of the first byte in
 * the payload. */
static void copy_masked(unsigned char *to, const unsigned char *from, size_t len,
                        const unsigned char mask[4], uint64_t offset)
{
    unsigned char turned[8];
    uint64_t word, mask_word;
    size_t i = 0;

    for (size_t k = 0; k < sizeof turned; k++)
        turned[k] = mask[(offset + k) & 3];
    memcpy(&mask_word, turned, sizeof mask_word);
    for (; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, from + i, sizeof word);
        word ^= mask_word;
        memcpy(to + i, &word, sizeof word);
    }
    for (; i < len; i++)
        to[i] = from[i] ^ turned[i & 7];
}

/* ---- reading ---- */

void ws_reader_init(struct ws_reader *r, enum ws_role role, size_t max_message_bytes)
{
    *r = (struct ws_reader){.role = role, .max_message_bytes = max_message_bytes,
                             .keep_bytes = WS_READER_KEEP_BYTES};
}

void ws_reader_deinit(struct ws_reader *r)
{
    buf_free(&r->message);
}

static int set_violation(unsigned *close_code, unsigned code, struct err *e, const char *cause)
{
    *close_code = code;
    return err_set(e, code == WS_CLOSE_TOO_BIG ? ERR_TOO_LARGE : ERR_PROTOCOL, "WebSocket: %s",
                   cause);
}

static enum ws_opcode frame_opcode(const struct ws_reader *r)
{
    return (enum ws_opcode)(r->head[0] & BITS_OPCODE);
}

static bool is_control_frame(const struct ws_reader *r)
{
    return (r->head[0] & 8) != 0;
}

static const unsigned char *frame_mask(const struct ws_reader *r)
{
    return (r->head[1] & BIT_MASK) != 0 ? r->head + r->head_len - 4 : NULL;
}

/* The first byte of a head: FIN, RSV, opcode (RFC 6455 §5.2, §5.4, §5.5). */
static const char *check_first(const struct ws_reader *r)
{
    unsigned opcode = frame_opcode(r);

    if ((r->head[0] & BITS_RSV) != 0)
        return "reserved bits without an extension";
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return "reserved opcode";
    if (is_control_frame(r))
        return (r->head[0] & BIT_FIN) == 0 ? "fragmented control frame" : NULL;
    if (opcode == WS_CONTINUATION)
        return r->in_message ? NULL : "continuation without a message";
    return r->in_message ? "new message inside a fragmented one" : NULL;
}

/* The second: mask and the length's first 7 bits. */
static const char *check_second(const struct ws_reader *r)
{
    bool is_masked = (r->head[1] & BIT_MASK) != 0;
    unsigned length = r->head[1] & BITS_LENGTH;

    if (is_masked != (r->role == WS_SERVER))
        return is_masked ? "masked frame from a server" : "unmasked frame from a client";
    if (is_control_frame(r) && length > WS_MAX_CONTROL_BYTES)
        return "control frame above 125 bytes";
    if (frame_opcode(r) == WS_CLOSE && length == 1)
        return "close frame with half a code";
    return NULL;
}

static size_t length_bytes(const struct ws_reader *r)
{
    unsigned length = r->head[1] & BITS_LENGTH;

    return length == 127 ? 8 : length == 126 ? 2 : 0;
}

/* Takes the length once all of its bytes are there. */
static int take_length(struct ws_reader *r, unsigned *close_code, struct err *e)
{
    size_t bytes = length_bytes(r);
    uint64_t length = r->head[1] & BITS_LENGTH;

    if (bytes > 0)
        length = 0;
    for (size_t i = 0; i < bytes; i++)
        length = length << 8 | r->head[2 + i];
    if (length >> 63 != 0)
        return set_violation(close_code, WS_CLOSE_PROTOCOL, e, "length with the top bit set");
    if ((bytes == 2 && length < 126) || (bytes == 8 && length <= 0xffff))
        return set_violation(close_code, WS_CLOSE_PROTOCOL, e,
                             "length in more bytes than it needs");
    if (!is_control_frame(r) && length > r->max_message_bytes - r->message.len)
        return set_violation(close_code, WS_CLOSE_TOO_BIG, e, "message too large");
    r->length = length;
    r->had = 0;
    return 0;
}

/* One byte of a head; sets in_payload behind the last. */
static int take_head_byte(struct ws_reader *r, unsigned char c, unsigned *close_code, struct err *e)
{
    const char *cause = NULL;

    r->head[r->head_len++] = c;
    if (r->head_len <= 2) {
        cause = r->head_len == 1 ? check_first(r) : check_second(r);
        if (cause != NULL)
            return set_violation(close_code, WS_CLOSE_PROTOCOL, e, cause);
        if (r->head_len == 1)
            return 0;
    }
    size_t length_end = 2 + length_bytes(r);
    if (r->head_len == length_end && take_length(r, close_code, e) != 0)
        return -1;
    r->in_payload = r->head_len == length_end + (r->role == WS_SERVER ? 4 : 0);
    return 0;
}

static void begin_message(struct ws_reader *r)
{
    if (is_control_frame(r) || frame_opcode(r) == WS_CONTINUATION)
        return;
    r->message_opcode = frame_opcode(r);
    r->in_message = true;
    r->utf8 = (struct utf8){0};
}

static int take_payload(struct ws_reader *r, struct str piece, unsigned *close_code, struct err *e)
{
    static const unsigned char no_mask[4];
    const unsigned char *mask = frame_mask(r) != NULL ? frame_mask(r) : no_mask;
    const unsigned char *from = (const unsigned char *)piece.p;

    if (is_control_frame(r)) {
        copy_masked(r->control + r->had, from, piece.len, mask, r->had);
    } else {
        if (!buf_reserve(&r->message, piece.len)) {
            *close_code = WS_CLOSE_INTERNAL;
            return buf_check(&r->message, e);
        }
        char *to = r->message.data + r->message.len;
        copy_masked((unsigned char *)to, from, piece.len, mask, r->had);
        r->message.len += piece.len;
        if (r->message_opcode == WS_TEXT && !utf8_check(&r->utf8, (struct str){to, piece.len}))
            return set_violation(close_code, WS_CLOSE_BAD_DATA, e, "text that is not UTF-8");
    }
    r->had += piece.len;
    return 0;
}

/* The codes that a peer may send (RFC 6455 §7.4; 1012 to 1014 are registered later). */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int finish_close(struct ws_reader *r, struct ws_event *event, unsigned *close_code,
                        struct err *e)
{
    struct str reason = {(const char *)r->control + 2, 0};
    unsigned code = WS_CLOSE_NO_CODE;

    if (r->length > 0) {
        code = (unsigned)r->control[0] << 8 | r->control[1];
        reason.len = (size_t)r->length - 2;
        if (!is_close_code(code))
            return set_violation(close_code, WS_CLOSE_PROTOCOL, e,
                                 "close frame with a reserved code");
        if (!str_is_utf8(reason))
            return set_violation(close_code, WS_CLOSE_BAD_DATA, e,
                                 "close reason that is not UTF-8");
    }
    r->is_over = true;
    *event = (struct ws_event){WS_CLOSE, reason, code};
    return 0;
}

/* The end of a frame. Returns 1 when that is an event, 0 inside a message, -1 on a violation. */
static int finish_frame(struct ws_reader *r, struct ws_event *event, unsigned *close_code,
                        struct err *e)
{
    r->in_payload = false;
    r->head_len = 0;
    if (frame_opcode(r) == WS_CLOSE)
        return finish_close(r, event, close_code, e) == 0 ? 1 : -1;
    if (is_control_frame(r)) {
        struct str payload = {(const char *)r->control, (size_t)r->length};
        *event = (struct ws_event){frame_opcode(r), payload, 0};
        return 1;
    }
    if ((r->head[0] & BIT_FIN) == 0)
        return 0;
    if (!utf8_is_complete(&r->utf8))
        return set_violation(close_code, WS_CLOSE_BAD_DATA, e, "text ends inside a character");
    r->in_message = false;
    r->is_delivered = true;
    *event = (struct ws_event){r->message_opcode, buf_str(&r->message), 0};
    return 1;
}

static void drop_delivered(struct ws_reader *r)
{
    if (!r->is_delivered)
        return;
    r->is_delivered = false;
    if (r->message.cap > r->keep_bytes)
        buf_free(&r->message);
    else
        buf_clear(&r->message);
}

/* Consumes some bytes: of a head, or of a payload. Returns as finish_frame does. */
static int take_frame_bytes(struct ws_reader *r, struct str input, size_t *used,
                            struct ws_event *event, unsigned *close_code, struct err *e)
{
    if (!r->in_payload) {
        if (take_head_byte(r, (unsigned char)input.p[(*used)++], close_code, e) != 0)
            return -1;
        if (!r->in_payload)
            return 0;
        begin_message(r);
    } else {
        uint64_t left = r->length - r->had;
        struct str piece = str_slice(input, *used, input.len);
        piece.len = piece.len < left ? piece.len : (size_t)left;
        *used += piece.len;
        if (take_payload(r, piece, close_code, e) != 0)
            return -1;
    }
    return r->had == r->length ? finish_frame(r, event, close_code, e) : 0;
}

enum io ws_frame_read(struct ws_reader *r, struct str input, size_t *used, struct ws_event *event,
                      unsigned *close_code, struct err *e)
{
    *used = 0;
    drop_delivered(r);
    while (*used < input.len) {
        int result = r->is_over
                         ? set_violation(close_code, WS_CLOSE_PROTOCOL, e, "bytes after a close")
                         : take_frame_bytes(r, input, used, event, close_code, e);
        r->is_over = r->is_over || result < 0;
        if (result != 0)
            return result > 0 ? IO_DONE : IO_ERR;
    }
    return IO_WANT_READ;
}

/* ---- writing ---- */

void ws_frame_put(struct buf *out, enum ws_opcode opcode, struct str payload,
                  const unsigned char *mask)
{
    ws_frame_put_fragment(out, opcode, true, payload, mask);
}

static size_t make_head(unsigned char *head, uint64_t length, const unsigned char *mask)
{
    size_t bytes = length > 0xffff ? 8 : length > 125 ? 2 : 0;
    unsigned char short_length = bytes == 8 ? 127 : bytes == 2 ? 126 : (unsigned char)length;

    head[1] = (unsigned char)(short_length | (mask != NULL ? BIT_MASK : 0));
    for (size_t i = 0; i < bytes; i++)
        head[2 + i] = (unsigned char)(length >> 8 * (bytes - 1 - i));
    if (mask != NULL)
        memcpy(head + 2 + bytes, mask, 4);
    return 2 + bytes + (mask != NULL ? 4 : 0);
}

/* Appends a part of a payload, `offset` bytes behind its start. There is room for it. */
static void put_masked(struct buf *out, struct str part, const unsigned char *mask, size_t offset)
{
    if (mask == NULL) {
        buf_put(out, part);
        return;
    }
    copy_masked((unsigned char *)out->data + out->len, (const unsigned char *)part.p, part.len,
                mask, offset);
    out->len += part.len;
}

/* Appends a head with that first byte, and the payload. */
static void put_frame_parts(struct buf *out, unsigned first_byte, struct str first,
                            struct str second, const unsigned char *mask)
{
    unsigned char head[WS_MAX_HEAD_BYTES] = {(unsigned char)first_byte};
    size_t length = first.len + second.len, head_len = make_head(head, length, mask);

    if ((first_byte & 8) != 0 && (length > WS_MAX_CONTROL_BYTES || (first_byte & BIT_FIN) == 0))
        out->failed = true;
    if (!buf_reserve(out, head_len + length))
        return;
    buf_append(out, head, head_len);
    put_masked(out, first, mask, 0);
    put_masked(out, second, mask, first.len);
}

void ws_frame_put2(struct buf *out, enum ws_opcode opcode, struct str first, struct str second,
                   const unsigned char *mask)
{
    put_frame_parts(out, opcode | BIT_FIN, first, second, mask);
}

void ws_frame_put_fragment(struct buf *out, enum ws_opcode opcode, bool is_final,
                           struct str payload, const unsigned char *mask)
{
    put_frame_parts(out, opcode | (is_final ? BIT_FIN : 0), payload, STR(""), mask);
}

void ws_frame_put_close(struct buf *out, unsigned code, struct str reason,
                        const unsigned char *mask)
{
    char payload[WS_MAX_CONTROL_BYTES] = {(char)(code >> 8), (char)code};
    size_t len = 0;

    if (code != WS_CLOSE_NO_CODE) {
        reason = str_is_utf8(reason) ? str_cut(reason, sizeof payload - 2) : (struct str){0};
        if (reason.len > 0)
            memcpy(payload + 2, reason.p, reason.len);
        len = 2 + reason.len;
    }
    ws_frame_put(out, WS_CLOSE, (struct str){payload, len}, mask);
}
