/*
 * The routes of an HTTP server (http_server.h), its limits, and all that their handlers call.
 */
#ifndef HTTP_HTTP_HANDLER_H
#define HTTP_HTTP_HANDLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "proto/addr.h"
#include "proto/http_head.h"

enum {
    HTTP_SERVER_MAX_CONNECTIONS = 20000,
    HTTP_SERVER_SPARE_FDS = 64,            /* kept free below the limit of descriptors */
    HTTP_SERVER_MAX_REFUSED = 64,          /* connections above the cap that still hear "503" */
    HTTP_SERVER_READ_BYTES = 32768,        /* per read(2), unless the options have another */
    HTTP_SERVER_MAX_INPUT = 32768,         /* kept of later requests while one is being answered */
    HTTP_SERVER_MAX_OUTPUT = 32768,        /* unsent answers after which no more is read */
    HTTP_SERVER_MAX_HELD = 64 << 20,       /* buffers of all connections together */
    HTTP_SERVER_SMALL_HELD = 8192,         /* of one: not refused for what the others hold */
    HTTP_SERVER_UNSENT_BYTES = 131072,     /* that the kernel takes beyond what is on its way */
    HTTP_SERVER_MIN_BODY_RATE = 500,       /* bytes a second of a streamed body, over stall_ms */
    HTTP_SERVER_STANDSTILL_MS = 5000,      /* a transfer that stood still so long is idle */
    HTTP_SERVER_MAX_SKIPPED_BODY = 131072, /* read and dropped after an early answer */
    HTTP_SERVER_SENDFILE_BYTES = 1 << 20,  /* per turn of a connection */
    HTTP_SERVER_MADE_BYTES = 32768         /* of a body that is made, per call */
};

/* Deadlines in milliseconds; tests shorten them. */
struct http_times {
    int64_t idle_ms;   /* between two requests */
    int64_t head_ms;   /* from a head's first byte to its last */
    int64_t body_ms;   /* the same for a collected body */
    int64_t stall_ms;  /* with too little of a streamed body; with bytes of one that was refused */
    int64_t write_ms;  /* without a byte taken by the client */
    int64_t linger_ms; /* for the client to read the last answer and close, if it sends no more */
};

struct http_server;
struct http_conn;

/* Borrowed until the handler returns. */
struct http_request {
    const struct http_head *head;
    struct str path, query; /* of the target; still percent-encoded */
    struct str body;        /* empty for on_head */
};

/*
 * Exactly one of on_request (the body is complete) and on_head (before any body). A handler does
 * one of: http_conn_answer…, http_conn_wait, and, in on_head alone, http_conn_stream or (if
 * takes_connection) http_conn_detach. A request whose handler does none is answered 500.
 */
struct http_route {
    const char *method;    /* "GET" serves HEAD too; "UPGRADE": a WebSocket, before others; "*" */
    const char *path;      /* exact, a prefix when it ends with '/' (not "/"), or "*" */
    size_t max_body_bytes; /* for on_request: 413 beyond */
    void (*on_request)(struct http_conn *conn, const struct http_request *request, void *owner);
    void (*on_head)(struct http_conn *conn, const struct http_request *request, void *owner);
    bool takes_connection; /* called when all earlier answers are written */
    bool is_public;        /* web pages of any origin may read the answers: cors.h */
    void *owner;
};

struct http_server_options {
    struct loop *loop;
    /* The first that matches. None: an HTML 404; 405 if there is one for other methods (OPTIONS:
     * 204 with these), 501 if nobody has such a method. */
    const struct http_route *routes;
    size_t route_count;
    struct http_times times;
    size_t max_connections; /* 0: HTTP_SERVER_MAX_CONNECTIONS or what the descriptors allow */
    size_t read_bytes;      /* 0: HTTP_SERVER_READ_BYTES */
    size_t max_held;        /* 0: HTTP_SERVER_MAX_HELD, at most a quarter of RLIMIT_AS */
    const char *extensions;  /* announced with every answer (EXTENSIONS.md §1); NULL: none */
    void (*on_idle)(struct http_conn *conn, void *owner); /* idle_ms passed: instead of closing */
    /* A client was accepted: what to know it by, *tag (0 until then); false refuses it. NULL: all
     * are served. */
    bool (*on_accepted)(void *owner, const struct addr *peer, uint64_t *tag);
    /* A request's head came; false refuses it, and ends the connection. NULL: all are served. */
    bool (*on_head)(void *owner, const struct http_conn *conn, const struct http_head *head,
                    uint64_t *tag);
    /* All is answered and no more was read: the connection may be detached. May be NULL. */
    void (*on_answered)(void *owner, struct http_conn *conn, uint64_t *tag);
    /* Appends the client's address when the tag knows better than the socket. May be NULL. */
    bool (*put_peer)(void *owner, uint64_t tag, struct buf *out);
    void (*on_closed)(void *owner, uint64_t tag); /* a connection was closed (not: detached) */
    size_t (*count_elsewhere)(void *owner); /* served by other processes, for the cap */
    /* It is full, and a connection with that tag came: false refuses it. NULL: always refused. */
    bool (*make_room)(void *owner, uint64_t tag);
    void *owner;
};

/* ---- what handlers call ---- */

struct http_answer {
    int status;
    const char *content_type; /* NULL: none */
    struct str body;          /* copied */
    const struct buf *made;   /* a body that was made in a buffer, instead; copied. A buffer that
                                 failed, for want of memory, makes the whole answer a 500. */
    const struct http_header *headers;
    size_t header_count;
    bool must_close;
};

/* Answers the current request; answers a HEAD with the same head. */
void http_conn_answer(struct http_conn *conn, const struct http_answer *answer);

/* Writes an answer to a request that waited at once, rather than at the end of the round: where one
 * event brings many answers, each then has the memory of the one before. The connection may be gone
 * when this returns. */
void http_conn_write_answer(struct http_conn *conn);

/* Answers with {"message":"…"}, printf style. */
void http_conn_answer_message(struct http_conn *conn, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Answers with `length` bytes from `offset` of the regular file `fd`, which it owns from now on. */
void http_conn_answer_file(struct http_conn *conn, const struct http_answer *answer, int fd,
                           int64_t offset, int64_t length);

/* A body that is made as the client takes it. */
struct http_source {
    /* Appends up to `room` bytes to *out, at most HTTP_SERVER_MADE_BYTES; none: there is nothing
     * now, and http_conn_resume_answer is called when there is. False: the body cannot be
     * completed, which the client learns by a connection that is cut. `conn` stays valid inside. */
    bool (*make)(void *ctx, struct http_conn *conn, struct buf *out, size_t room);
    /* The last call: all of it was made (`is_whole`), or the client left, or `make` failed. */
    void (*on_end)(void *ctx, bool is_whole);
    void *ctx;
    /* Both or none: lends the next bytes instead of copying them, as many as it has in one piece
     * (none, and false, as of `make`); `took` follows at once with how many of them the client has
     * taken, unless that is none. The first ones may still be asked of `make`. */
    bool (*lend)(void *ctx, struct http_conn *conn, struct str *bytes);
    void (*took)(void *ctx, size_t count);
};

/* Answers with `length` bytes from the source. For a HEAD, and for 0 bytes, on_end is called before
 * this returns. */
void http_conn_answer_made(struct http_conn *conn, const struct http_answer *answer,
                           int64_t length, const struct http_source *source);

/* Goes on with an answer whose source had nothing and now has bytes, or has failed. `conn` is valid
 * until on_end. */
void http_conn_resume_answer(struct http_conn *conn);

/* Waits: the handler will answer later. `on_gone` is called when the client is lost before that:
 * then `conn` must not be used any more. */
void http_conn_wait(struct http_conn *conn, void (*on_gone)(void *ctx), void *ctx);

/* Ends the connection of a request that is not answered, in order, or of one that is not wholly
 * answered, with a reset: neither what is answered nor what is unsent reaches the client. (zarr
 * takes a reset before an answer, which is an OSError, for a chunk that is not there.) Its on_gone
 * or on_end comes first. `conn` is invalid then. Not inside of its own callbacks. */
void http_conn_cut(struct http_conn *conn);

/* Gets the body as it comes. After an answer in on_data the rest is dropped and nothing more is
 * called; on_end must answer or wait. */
struct http_sink {
    void (*on_data)(void *ctx, struct http_conn *conn, struct str data);
    void (*on_end)(void *ctx, struct http_conn *conn);
    void (*on_gone)(void *ctx); /* the client left or stalled; `conn` is invalid */
    void *ctx;
};
void http_conn_stream(struct http_conn *conn, const struct http_sink *sink);

/* Streams in the same way, paused from the start: a client that waits for "100 Continue" gets it
 * with http_conn_resume_body. */
void http_conn_stream_paused(struct http_conn *conn, const struct http_sink *sink);

/* Reads no more of the body, so that the client stops sending it, until http_conn_resume_body. No
 * call of the sink but on_gone comes meanwhile, and nothing is too late. For on_data and later. An
 * answer meanwhile ends the stream as one in on_data does: nothing more is called. */
void http_conn_pause_body(struct http_conn *conn);
void http_conn_resume_body(struct http_conn *conn);

/* Takes the connection out of the server: the caller owns the returned stream, and sets its wake;
 * until then it wakes nobody. Appends what was read of it and not answered, from the first byte of
 * the current request. `conn` is invalid. */
struct stream *http_conn_detach(struct http_conn *conn, struct buf *bytes);

/* Detaches the connection for another process: the caller owns the returned descriptor. Only with
 * http_conn_has_fd; otherwise the connection is closed, and -1. */
int http_conn_detach_fd(struct http_conn *conn, struct buf *bytes);
bool http_conn_has_fd(const struct http_conn *conn);

/* Returns the tag that on_accepted, http_server_adopt or http_server_serve gave the connection. */
uint64_t http_conn_tag(const struct http_conn *conn);

/* Gives the connection another tag, by which its owner knows it from now on. */
void http_conn_set_tag(struct http_conn *conn, uint64_t tag);

/* Sets *out to the client's address. Returns false when that is not known any more. */
bool http_conn_peer(const struct http_conn *conn, struct addr *out);

/* Appends "address:port" of the client, or the text of put_peer. */
void http_conn_put_peer(struct http_conn *conn, struct buf *out);

/* Appends the client's address without a port, or the text of put_peer; nothing when it is not
 * known. */
void http_conn_put_asker(struct http_conn *conn, struct buf *out);

#endif
