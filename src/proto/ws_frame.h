/*
 * WebSocket framing (RFC 6455), client and server, without extensions. Sans-I/O: bytes in, events
 * out, resumable at any byte; messages are assembled from fragments and text is checked as UTF-8
 * while it arrives.
 */
#ifndef PROTO_WS_FRAME_H
#define PROTO_WS_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "proto/http_head.h"
#include "proto/utf8.h"

enum {
    WS_MAX_MESSAGE_BYTES = 1 << 20,
    WS_MAX_CONTROL_BYTES = 125,
    WS_MAX_HEAD_BYTES = 14,
    WS_KEY_SIZE = 25
};

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NO_CODE = 1005,  /* never sent: the peer's close had no code */
    WS_CLOSE_ABNORMAL = 1006, /* never sent: there was no close frame */
    WS_CLOSE_BAD_DATA = 1007,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_TRY_LATER = 1013,
    WS_CLOSE_WRONG_SECRET = 4001, /* ours */
    WS_CLOSE_TAKEN = 4009         /* ours */
};

enum ws_role { WS_CLIENT, WS_SERVER };

struct ws_event {
    enum ws_opcode opcode; /* TEXT or BINARY: a whole message; PING, PONG, CLOSE: a control frame */
    struct str payload;    /* borrowed until the next ws_frame_read; CLOSE: the reason */
    unsigned close_code;   /* CLOSE */
};

/* Of a message's memory, between messages: idle connections stay small. */
enum { WS_READER_KEEP_BYTES = 16384 };

/* Private to the reader. */
struct ws_reader {
    enum ws_role role; /* of the side that reads: a server wants masked frames, a client unmasked */
    size_t max_message_bytes, keep_bytes;
    unsigned char head[WS_MAX_HEAD_BYTES]; /* of the frame that is being read */
    size_t head_len;
    bool in_payload;      /* the head is complete */
    uint64_t length, had; /* bytes of the payload: all, and those read so far */
    unsigned char control[WS_MAX_CONTROL_BYTES];
    struct buf message; /* assembled so far */
    enum ws_opcode message_opcode;
    struct utf8 utf8;
    bool in_message, is_delivered, is_over;
};

/* Begins a connection's input. max_message_bytes is WS_MAX_MESSAGE_BYTES in the product; tests take
 * more. */
void ws_reader_init(struct ws_reader *r, enum ws_role role, size_t max_message_bytes);
void ws_reader_deinit(struct ws_reader *r);

/*
 * Consumes from `input` (*used bytes of it, whatever is returned) up to the end of one event.
 * IO_DONE: *event is set; call again with the rest. IO_WANT_READ: input is used up, no event yet.
 * IO_ERR: a violation (ERR_PROTOCOL), a message too large (ERR_TOO_LARGE) or no memory; *close_code
 * is what the close frame should carry (1002, 1007, 1009, 1011). Text is refused at the first byte
 * that cannot belong to UTF-8, a message as soon as a head announces too much. After a CLOSE event
 * or an error further input is an error.
 */
enum io ws_frame_read(struct ws_reader *r, struct str input, size_t *used, struct ws_event *event,
                      unsigned *close_code, struct err *e);

/* Appends one unfragmented frame. `mask` is 4 random bytes for a client (RFC 6455 §5.3), NULL for a
 * server. Control payloads are at most 125 bytes. */
void ws_frame_put(struct buf *out, enum ws_opcode opcode, struct str payload,
                  const unsigned char *mask);

/* Appends a frame like ws_frame_put, whose payload is `first` and then `second`. */
void ws_frame_put2(struct buf *out, enum ws_opcode opcode, struct str first, struct str second,
                   const unsigned char *mask);

/* Appends a frame like ws_frame_put, with FIN as given: for fragmenting, in tests. */
void ws_frame_put_fragment(struct buf *out, enum ws_opcode opcode, bool is_final,
                           struct str payload, const unsigned char *mask);

/* Appends a close frame; code WS_CLOSE_NO_CODE sends an empty payload; reason is cut to 123 bytes
 * at a UTF-8 boundary. */
void ws_frame_put_close(struct buf *out, unsigned code, struct str reason,
                        const unsigned char *mask);

/* Writes the handshake's key (RFC 6455 §4): base64 of 16 random bytes, and a NUL. */
void ws_frame_make_key(const unsigned char random[16], char key[WS_KEY_SIZE]);

/* Appends a whole client request head, with `more` (NULL: none) as a header. */
void ws_frame_put_request(struct buf *out, struct str host, struct str target, const char *key,
                          const struct http_header *more);

/* Checks, in a client, the server's 101 against our key. ERR_REFUSED naming the status when it is
 * not 101, ERR_PROTOCOL when the 101 is not the answer to our request. */
int ws_frame_check_response(const struct http_head *head, const char *key, struct err *e)
    ERR_CHECKED;

/* Checks, in a server, that this is a proper upgrade request: GET without a body, HTTP/1.1, version
 * 13, a 16-byte key. ERR_PROTOCOL when it is none; *status is then 426 (answer with `Upgrade:
 * websocket` and `Sec-WebSocket-Version: 13`) or 400. */
int ws_frame_check_request(const struct http_head *head, int *status, struct err *e) ERR_CHECKED;

/* Appends, in a server, the 101 answer to a checked request; echoes the first offered sub-protocol,
 * declines extensions. `more` (may be NULL) is one header of the caller's own. */
void ws_frame_put_response(struct buf *out, const struct http_head *request,
                           const struct http_header *more);

#endif
