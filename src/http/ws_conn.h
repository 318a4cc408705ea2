/*
 * A WebSocket (RFC 6455) on an open stream, in either role: messages in and out with back-pressure
 * both ways, pings, deadlines, the close handshake. It does no opening handshake (ws_dial.h,
 * ws_accept.h) and knows nothing of what the messages mean.
 */
#ifndef HTTP_WS_CONN_H
#define HTTP_WS_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "proto/ws_frame.h"

enum {
    WS_CONN_MAX_QUEUED_BYTES = 16 << 20, /* not yet taken by the stream; the default */
    WS_CONN_MAX_ALL_BYTES = 64 << 20,    /* the same of all connections that share a count */
    WS_CONN_SMALL_BYTES = 65536,         /* of one: not refused for what the others have queued */
    WS_CONN_MAX_PONG_BYTES = 65536, /* with so much unsent, only the last ping is answered, later */
    WS_CONN_READ_BYTES = 65536,
    WS_CONN_MAX_EVENTS = 1024,  /* per turn, so that a flood leaves time for everything else */
    WS_CONN_CLOSE_MS = 2000     /* from our close frame to the end in any case */
};

struct ws_conn;

/* How it ended. */
struct ws_end {
    bool is_failure;   /* it broke, or the other side broke the protocol; else one side closed it */
    unsigned code;     /* of the other side's close frame: WS_CLOSE_NO_CODE when that had none,
                      WS_CLOSE_ABNORMAL when none came */
    struct str reason; /* in that frame; UTF-8; borrowed for the call */
    struct err why;    /* in words fit for a log; never without */
};

/* Every callback may call any function here, also ws_conn_free. */
struct ws_conn_options {
    enum ws_role role; /* ours */
    struct loop *loop;
    int64_t ping_interval_ms; /* 0: no pings */
    int64_t dead_after_ms;    /* without a byte from the other side, or taken by it while some
                                  wait; 0: never. Does not count while reading is paused. */
    size_t max_message_bytes; /* 0: WS_MAX_MESSAGE_BYTES */
    size_t max_queued_bytes;  /* 0: WS_CONN_MAX_QUEUED_BYTES */
    size_t drained_bytes;     /* on_drained comes when the queue was longer and is so short again;
                                  `first` of ws_conn_new counts */
    size_t *all_queued;       /* the queues of all connections together; NULL: not counted */
    /* A whole message, WS_TEXT (valid UTF-8) or WS_BINARY; borrowed for the call. */
    void (*on_message)(void *owner, enum ws_opcode kind, struct str message);
    void (*on_pong)(void *owner, struct str payload); /* may be NULL */
    void (*on_drained)(void *owner);                  /* may be NULL */
    /* The connection is over and already freed. */
    void (*on_closed)(void *owner, const struct ws_end *end);
    void *owner;
};

/* Takes over the stream, also on failure. `first` is written before everything else (a server's
 * answer to the handshake); `early` was already read behind the other side's handshake. Both are
 * copied. Callbacks come from the loop only, never from inside this call. NULL: no memory, or the
 * loop cannot watch the stream. */
struct ws_conn *ws_conn_new(const struct ws_conn_options *options, struct stream *stream,
                            struct str first, struct str early, struct err *e);

/* Queues a message (WS_TEXT, which must be UTF-8, or WS_BINARY); all of a round's are written
 * together at its end. ERR_TOO_LARGE when the queue would be too long: the other side does not
 * read, and nothing was queued. ERR_FAILED when it is closing, or without memory. */
int ws_conn_send(struct ws_conn *c, enum ws_opcode kind, struct str message,
                 struct err *e) ERR_CHECKED;

/* Writes at once what is queued, if it is at least so much: of many short messages in a round, the
 * other side, on another processor, begins with the first while the later ones are made. */
enum { WS_CONN_BATCH_BYTES = 4096 };
void ws_conn_write_above(struct ws_conn *c, size_t bytes);

/* Queues a message like ws_conn_send, which is `first` and then `second`. */
int ws_conn_send2(struct ws_conn *c, enum ws_opcode kind, struct str first, struct str second,
                  struct err *e) ERR_CHECKED;

/* Returns the bytes that are queued and not taken by the stream. */
size_t ws_conn_queued(const struct ws_conn *c);

/* Returns the bytes that have come of a message that is not whole yet. */
size_t ws_conn_coming(const struct ws_conn *c);

/* Returns true while neither side has closed it or broken the protocol. */
bool ws_conn_is_open(const struct ws_conn *c);

/* Reads no more, so that the other side has to stop, until ws_conn_resume; no message comes
 * meanwhile. Its pings wait too: the pause must be shorter than its patience. A close ends it. */
void ws_conn_pause(struct ws_conn *c);
void ws_conn_resume(struct ws_conn *c);

/* Takes the stream out of a paused connection of which nothing is queued, and frees it; what was
 * read behind the last message is appended to *early: another ws_conn goes on with both. NULL, and
 * nothing has changed, if it is not so, or it is closing. Not inside of its callbacks. */
struct stream *ws_conn_take(struct ws_conn *c, struct buf *early);

/* Keeps so much memory for messages while there are none (WS_READER_KEEP_BYTES at least, the
 * default): for connections on which large ones follow each other. */
void ws_conn_set_keep(struct ws_conn *c, size_t keep_bytes);

/* Sets the limit for the messages after the one that is being handled, in bytes. */
void ws_conn_set_max_message(struct ws_conn *c, size_t max_message_bytes);

/* Sends a ping of at most WS_MAX_CONTROL_BYTES. Without memory nothing is sent. */
void ws_conn_ping(struct ws_conn *c, struct str payload);

/* Starts the close handshake behind what is queued (WS_CLOSE_NO_CODE: an empty close frame);
 * messages that still come are dropped; on_closed follows within WS_CONN_CLOSE_MS. */
void ws_conn_close(struct ws_conn *c, unsigned code, struct str reason);

/* Ends it at once; no callback follows. NULL-safe. */
void ws_conn_free(struct ws_conn *c);

#endif
