/* A body that comes in pieces is read as one that comes whole; what was delivered is the body again
 * when it is put as chunks. */
#include "base/buf.h"
#include "fuzz.h"
#include "proto/http_body.h"

struct result {
    enum io io;
    size_t used;
    struct buf data;
    bool is_complete;
};

static void decode(struct result *r, enum http_framing framing, int64_t length, struct str text,
                   uint32_t *seed)
{
    struct http_body body;
    struct err e;
    size_t end = 0;

    http_body_init(&body, framing, length);
    *r = (struct result){.io = IO_WANT_READ};
    while (end < text.len && r->io != IO_ERR && !http_body_is_complete(&body)) {
        end = seed == NULL ? text.len : end + fuzz_piece(seed);
        do {
            struct str piece = str_slice(text, r->used, end), part;
            size_t used;
            r->io = http_body_decode(&body, piece, &used, &part, &e);
            require(used <= piece.len && part.len <= used);
            require(part.len == 0 || (part.p >= piece.p && part.p + part.len <= piece.p + used));
            r->used += used;
            buf_put(&r->data, part);
        } while (r->io == IO_DONE && !http_body_is_complete(&body));
        if (r->io == IO_WANT_READ)
            require(r->used == (end < text.len ? end : text.len));
    }
    require(body.total == r->data.len);
    r->is_complete = http_body_is_complete(&body);
    if (r->io != IO_ERR)
        require((http_body_at_eof(&body, &e) == 0) ==
                (r->is_complete || framing == HTTP_BODY_UNTIL_CLOSE));
}

static void put_again(const struct buf *data, size_t chunk)
{
    struct buf out = {0};
    struct result r;

    for (size_t at = 0; at < data->len; at += chunk) {
        struct str piece = str_slice(buf_str(data), at, at + chunk);
        buf_printf(&out, "%zx\r\n", piece.len);
        buf_put(&out, piece);
        buf_puts(&out, "\r\n");
    }
    buf_puts(&out, "0\r\n\r\n");
    decode(&r, HTTP_BODY_CHUNKED, -1, buf_str(&out), NULL);
    require(r.is_complete && r.used == out.len && str_equal(buf_str(&r.data), buf_str(data)));
    buf_free(&r.data);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    unsigned choice = fuzz_take(&text);
    enum http_framing framing = (choice & 7) < 3    ? (enum http_framing)(choice & 3)
                                : (choice & 7) == 3 ? HTTP_BODY_UNTIL_CLOSE
                                                    : HTTP_BODY_CHUNKED;
    int64_t length = choice >> 3;
    struct result whole, pieces;
    uint32_t seed = choice * 7919 + (uint32_t)size;

    decode(&whole, framing, length, text, NULL);
    decode(&pieces, framing, length, text, &seed);
    require(whole.io == pieces.io && whole.is_complete == pieces.is_complete);
    require(str_equal(buf_str(&whole.data), buf_str(&pieces.data)));
    if (whole.io != IO_ERR)
        require(whole.used == pieces.used);
    if (framing == HTTP_BODY_LENGTH)
        require(whole.data.len == ((size_t)length < text.len ? (size_t)length : text.len));
    if (framing == HTTP_BODY_CHUNKED && whole.is_complete)
        put_again(&whole.data, 1 + (choice >> 3));
    buf_free(&whole.data);
    buf_free(&pieces.data);
    return 0;
}
