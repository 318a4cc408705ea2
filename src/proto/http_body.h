/* HTTP/1.1 message bodies (RFC 9112 §6, §7): fixed length, chunked, until close. Sans-I/O. */
#ifndef PROTO_HTTP_BODY_H
#define PROTO_HTTP_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "proto/http_head.h"

/* Extensions are ignored, so their sum is limited too: tiny chunks with long ones are no body. */
enum { HTTP_MAX_CHUNK_LINE = 256, HTTP_MAX_EXTENSION_BYTES = 16384, HTTP_MAX_TRAILER_BYTES = 4096 };

/*
 * length: DATA ──► END             until close: DATA ──(EOF)──► END
 * chunked: SIZE ──► DATA ──► DATA_CRLF ──► SIZE … SIZE(0) ──► TRAILER ──► END
 */
struct http_body {
    enum http_framing framing;
    unsigned state;
    uint64_t left;  /* of the body or chunk */
    uint64_t total; /* body bytes delivered so far */
    size_t line_bytes, extension_bytes;
};

/* Begins a body. `content_length` counts with HTTP_BODY_LENGTH only. */
void http_body_init(struct http_body *body, enum http_framing framing, int64_t content_length);

/*
 * Takes from `input` (in place, no copy): *used bytes were consumed, whatever is returned; *data is
 * the part of them that is body content, perhaps empty.
 * IO_DONE: there is data, or the body is complete (http_body_is_complete; bytes behind it are not
 * consumed). Call again with the rest until it is. IO_WANT_READ: all of the input was framing.
 * IO_ERR: ERR_PROTOCOL on bad chunk sizes (empty, non-hex, above 2^63, white space that no ';'
 * follows), extensions outside the grammar, missing CRLF, malformed trailers, anything past its
 * limit. Trailers are checked and dropped.
 */
enum io http_body_decode(struct http_body *body, struct str input, size_t *used, struct str *data,
                         struct err *e);

/* Returns true when all of the body was taken. */
bool http_body_is_complete(const struct http_body *body);

/* Takes note that the peer closed. Returns 0 when that ends the body properly, else -1 ERR_NETWORK
 * "cut after N of M bytes". */
int http_body_at_eof(struct http_body *body, struct err *e) ERR_CHECKED;

#endif
