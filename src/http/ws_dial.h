/*
 * From a URL to a stream on which a WebSocket is open: connect.h (HTTP proxy, TLS), then the
 * client's opening handshake (RFC 6455 §4.1). The messages are left to ws_conn.h.
 *     CONNECT ──► HANDSHAKE ──► open
 */
#ifndef HTTP_WS_DIAL_H
#define HTTP_WS_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "proto/http_head.h"

struct ws_dial;

struct ws_dial_options {
    struct str url;        /* ws, wss, http or https; copied */
    int64_t patience_ms;   /* for connect and handshake together */
    const struct http_header *more; /* of the request; NULL: none. Copied; its name is static */
    const char *mark;      /* a header of the server's 101 to look for, or NULL; static */
    struct loop_wake wake; /* when a step is due, the first time soon */
};

/* Begins to dial. ERR_USAGE for a bad URL and for one with a user name; else as connect_new. */
struct ws_dial *ws_dial_new(const struct ws_dial_options *options, int64_t now_ms, struct err *e);

/*
 * Goes on as far as it can. IO_DONE: *stream is the caller's, and the bytes behind the server's
 * answer are appended to *early. IO_WANT_…: the wake comes. IO_ERR: ERR_NETWORK (connect, reset),
 * ERR_TIMEOUT (too late), ERR_REFUSED (no 101; names the status), ERR_PROTOCOL; each names the URL
 * without its query. No step may follow IO_DONE and IO_ERR.
 */
enum io ws_dial_step(struct ws_dial *d, int64_t now_ms, struct stream **stream, struct buf *early,
                     struct err *e);

/* Returns true when the server's 101 had the header that the options name. */
bool ws_dial_is_marked(const struct ws_dial *d);

/* Returns the pause that a refusal asked for (Retry-After); -1: none. */
int64_t ws_dial_retry_after_ms(const struct ws_dial *d);

/* Returns the URL without its query, fit for messages. */
const char *ws_dial_label(const struct ws_dial *d);

/* Frees it, and closes the connection that it has. NULL-safe. */
void ws_dial_free(struct ws_dial *d);

#endif
