/*
 * A WebSocket client connection as one step machine: dial, handshake, messages, pings, close.
 *     DIAL ──► HANDSHAKE ──► OPEN ──► CLOSING ──► closed
 */
#ifndef CLIENT_WS_CLIENT_H
#define CLIENT_WS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "proc/pollset.h"
#include "proto/ws_frame.h"

enum { WS_CLIENT_MAX_QUEUED_BYTES = 16 << 20 };

struct ws_client;

struct ws_client_options {
    struct str url;            /* ws, wss, http or https; copied */
    int64_t connect_ms;        /* dial and handshake together */
    int64_t ping_interval_ms;  /* a ping frame that often; 0: none */
    int64_t dead_after_ms;     /* no byte from the peer for so long: dead; 0: never */
    size_t max_message_bytes;  /* 0: WS_MAX_MESSAGE_BYTES */
};

enum ws_client_event { WS_CLIENT_OPENED, WS_CLIENT_MESSAGE };

struct ws_client *ws_client_new(const struct ws_client_options *options, int64_t now_ms,
                                struct err *e);

/*
 * IO_DONE: *event; for a message *message is borrowed until the next step. Call again until it
 * wants.
 * IO_EOF: the peer closed in an orderly way or just hung up; see ws_client_close_code/reason.
 * IO_ERR: ERR_NETWORK, ERR_TIMEOUT, ERR_REFUSED (no 101; names the status), ERR_PROTOCOL.
 */
enum io ws_client_step(struct ws_client *c, int64_t now_ms, enum ws_client_event *event,
                       struct str *message, struct err *e);
void ws_client_poll(const struct ws_client *c, struct pollset *set);

/* Queues a text, sent by the next steps. -1 ERR_TOO_LARGE when the peer reads too slowly. */
int ws_client_send(struct ws_client *c, struct str text, struct err *e);

/* Starts the close handshake; steps then end with IO_EOF (or after 2 s in any case). */
void ws_client_close(struct ws_client *c, unsigned code, struct str reason);

/* After IO_EOF: WS_CLOSE_NO_CODE when the peer gave none, 1006 when it hung up without a close. */
unsigned ws_client_close_code(const struct ws_client *c);
struct str ws_client_close_reason(const struct ws_client *c);

/* Bytes queued and not yet taken by the kernel. */
size_t ws_client_queued(const struct ws_client *c);

void ws_client_free(struct ws_client *c);

#endif
