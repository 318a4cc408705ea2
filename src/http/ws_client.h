/*
 * A WebSocket client connection as one step machine: connect, handshake, messages, pings, close.
 *     CONNECT ──► HANDSHAKE ──► OPEN ──► CLOSING ──► closed
 */
#ifndef HTTP_WS_CLIENT_H
#define HTTP_WS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proto/ws_frame.h"

enum {
    WS_CLIENT_MAX_QUEUED_BYTES = 16 << 20,
    WS_CLIENT_CLOSE_MS = 2000 /* from our close frame to the end in any case */
};

struct ws_client;

struct ws_client_options {
    struct str url;           /* ws, wss, http or https; copied */
    int64_t connect_ms;       /* connect and handshake together */
    int64_t ping_interval_ms; /* a ping frame that often; 0: none */
    int64_t dead_after_ms;    /* no byte from the peer for so long: dead; 0: never */
    size_t max_message_bytes; /* 0: WS_MAX_MESSAGE_BYTES */
    struct loop_wake wake;    /* when a step is due, the first time soon */
    const char *mark;         /* a header of the server's 101 to look for, or NULL; static */
};

enum ws_client_event { WS_CLIENT_OPENED, WS_CLIENT_MESSAGE };

/* ERR_USAGE for a bad URL and for one with a user name; else as connect_new. */
struct ws_client *ws_client_new(const struct ws_client_options *options, int64_t now_ms,
                                struct err *e);

/*
 * IO_DONE: *event; for a message *message is borrowed until the next step. Call again until it
 * wants, or ws_client_yield; what was queued meanwhile is sent then, all at once.
 * IO_EOF: the peer closed in an orderly way or just hung up; see ws_client_close_code/reason.
 * IO_ERR: ERR_NETWORK (connect, reset, dead line), ERR_TIMEOUT (no handshake in connect_ms),
 * ERR_REFUSED (no 101; names the status), ERR_PROTOCOL, ERR_TOO_LARGE; each names the URL without
 * its query.
 * Pings of the peer are answered; messages that come after ws_client_close are dropped.
 */
enum io ws_client_step(struct ws_client *c, int64_t now_ms, enum ws_client_event *event,
                       struct str *message, struct err *e);

/* Has the wake come soon, when others had their turn. */
void ws_client_yield(struct ws_client *c);

/* Queues a text, sent by the next steps. -1: ERR_TOO_LARGE when it would make more than
 * WS_CLIENT_MAX_QUEUED_BYTES (the peer reads too slowly), ERR_FAILED when the connection is not
 * open. */
int ws_client_send(struct ws_client *c, struct str text, struct err *e);

/* Starts the close handshake; steps then end with IO_EOF (after WS_CLIENT_CLOSE_MS in any case). */
void ws_client_close(struct ws_client *c, unsigned code, struct str reason);

/* After IO_EOF: WS_CLOSE_NO_CODE when the peer gave none, WS_CLOSE_ABNORMAL when it hung up without
 * a close. */
unsigned ws_client_close_code(const struct ws_client *c);
struct str ws_client_close_reason(const struct ws_client *c);

/* The server's 101 had the header that the options name. */
bool ws_client_is_marked(const struct ws_client *c);

/* Bytes queued and not yet taken by the kernel. */
size_t ws_client_queued(const struct ws_client *c);

void ws_client_free(struct ws_client *c);

#endif
