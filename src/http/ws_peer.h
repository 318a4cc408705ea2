/*
 * The server's end of a WebSocket connection on loop/loop.h: messages in and out, pings, the close
 * handshake, bounded queues. It knows nothing of what the messages mean.
 */
#ifndef HTTP_WS_PEER_H
#define HTTP_WS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proto/ws_frame.h"

enum {
    WS_PEER_MAX_QUEUED_BYTES = 16 << 20, /* not yet taken by the kernel */
    WS_PEER_MAX_ALL_BYTES = 64 << 20,    /* the same of all peers that share a count */
    WS_PEER_SMALL_BYTES = 65536, /* of one: not refused for what the others have queued */
    WS_PEER_MAX_PONG_BYTES = 65536, /* with so much unsent, pings are not answered */
    WS_PEER_READ_BYTES = 65536,
    WS_PEER_KEEP_BYTES = 16384, /* of a queue that was longer, the rest is given back */
    WS_PEER_CLOSE_MS = 2000     /* for the other side's close frame */
};

struct ws_peer;

struct ws_peer_options {
    struct loop *loop;
    int64_t ping_interval_ms;
    int64_t dead_after_ms; /* without a byte from the other side, or taken by it while some wait */
    size_t max_message_bytes;
    size_t *all_queued; /* what all peers together have queued; NULL: not counted */
    void (*on_message)(void *ctx, struct str message);
    void (*on_pong)(void *ctx, struct str payload); /* may be NULL */
    /* The connection is over and the peer already freed: `code` is that of the other side's close
     * frame, WS_CLOSE_ABNORMAL without one; `reason` is fit for a log. */
    void (*on_closed)(void *ctx, unsigned code, const char *reason);
    void *ctx;
};

/* Takes over `fd`; `handshake` is written first; `early` was already read behind the request.
 * Callbacks come from the loop only, never from inside this call. NULL on error (fd is closed). */
struct ws_peer *ws_peer_new(const struct ws_peer_options *options, int fd, struct str handshake,
                            struct str early, struct err *e);

/* Queues a text message; all of a round's messages are written together. ERR_TOO_LARGE when the
 * other side does not read. */
int ws_peer_send(struct ws_peer *peer, struct str text, struct err *e) ERR_CHECKED;

/* For the messages after the one that is being handled. */
void ws_peer_set_max_message(struct ws_peer *peer, size_t max_message_bytes);

void ws_peer_ping(struct ws_peer *peer, struct str payload);

/* Starts the close handshake (WS_CLOSE_NO_CODE: an empty close frame); messages that still come are
 * dropped; on_closed follows. */
void ws_peer_close(struct ws_peer *peer, unsigned code, struct str reason);

/* Ends it at once; no callback follows. NULL-safe. */
void ws_peer_free(struct ws_peer *peer);

#endif
