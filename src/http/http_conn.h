/* One connection of an http_server: shared by http_server.c, http_conn.c, http_dispatch.c and
 * http_out.c alone. */
#ifndef HTTP_HTTP_CONN_H
#define HTTP_HTTP_CONN_H

#include "http/http_handler.h"
#include "net/stream.h"
#include "proto/http_body.h"

/*
 *        ┌────────────────────────── answered ───────────────────────────┐
 *        ▼                                                               │
 *      IDLE ──► HEAD ──┬──► COLLECT ──► on_request ──┬──► WAITING ───────┤
 *                      ├──► STREAM  ──► on_end ──────┤                   │
 *                      ├──► on_head ─────────────────┼──► SENDING (file, │
 *                      │                             │    made body) ────┤
 *                      └──► SKIP (answered early) ───┴───────────────────┘
 * must_close: when everything is written ──► LINGER ──► closed
 */
enum http_conn_state {
    HTTP_CONN_IDLE,
    HTTP_CONN_HEAD,
    HTTP_CONN_COLLECT,
    HTTP_CONN_STREAM,
    HTTP_CONN_SKIP,
    HTTP_CONN_WAITING,
    HTTP_CONN_SENDING,
    HTTP_CONN_LINGER
};

struct http_conn {
    struct http_server *server;
    struct http_conn *previous, *next;
    struct http_conn *idle_previous, *idle_next; /* in the list of http_room.c */
    int64_t idle_since_ms; /* when it last moved on: a new state, bytes of a transfer */
    struct stream *stream; /* NULL: closed or detached */
    struct loop_timer timer;
    struct loop_call flush; /* at the end of the round */
    int64_t state_deadline_ms, write_deadline_ms;
    int64_t linger_end_ms; /* LINGER: whatever it still sends */
    uint64_t tag;
    char *host; /* the peer's, once it was asked for */

    enum http_conn_state state;
    int file_fd;      /* -1: none */
    bool is_idle;     /* in the list of those that may go */
    bool is_feeding;  /* on the stack of http_conn_feed, which frees it when is_dead */
    bool is_dead;     /* the stream is closed or detached */
    bool must_close;  /* after what is in `out` */
    bool is_handling; /* a handler is to answer the current request */
    bool is_head_request;
    bool is_http10;
    bool has_unread_body; /* an answer now ends the connection */
    bool is_refused;      /* above the cap: not counted */
    bool is_dry;          /* SENDING: the source has nothing now */
    bool is_first_part;   /* nothing was asked of the source yet */
    bool is_paused;       /* STREAM: the sink wants no more now */
    int64_t paused_left_ms; /* of the time of its state, when it was paused */
    bool owes_continue;   /* the client waits for "100 Continue" until the body is resumed */

    struct buf in;    /* bytes kept from one read to the next */
    struct str input; /* while feeding: what is left, in `in` or in the server's scratch */
    struct http_head_parser parser;
    const struct http_route *route;
    struct buf collected; /* a request whose body comes piecemeal, from its head on */
    size_t collected_head;
    struct http_body body;
    struct http_sink sink; /* WAITING: its on_gone alone */

    struct buf out;
    size_t out_sent;
    size_t held; /* in all these buffers, as counted in the server's */
    int64_t file_offset, file_left;
    struct http_source source_of_body; /* while made_left is not 0 */
    int64_t made_left;
    int64_t streamed; /* bytes of a streamed body since its time was set */
};

struct http_server {
    struct http_server_options options;
    struct loop_fd listener;
    struct loop_timer accept_again;
    int spare_fd; /* given up for a moment when descriptors run out */
    bool is_draining;
    struct http_conn *first;
    struct http_conn *idle_first, *idle_last; /* the longest idle one first */
    size_t count, refused;
    size_t held; /* bytes in the buffers of all connections */
    struct http_head head; /* of the request that is being handled */
    char date[30];
    int64_t date_ms; /* of the loop's clock */
    char *scratch;
    struct buf spare_out; /* the memory of an answer that was sent, for the next one */
};

/* http_server.c */
void http_server_forget(struct http_conn *conn); /* out of the list, memory freed */

/* http_conn.c */
/* Serves `stream`, which it owns from now on. -1 as stream_expect. */
int http_conn_start(struct http_conn *conn, struct stream *stream, struct err *e) ERR_CHECKED;
void http_conn_set_state(struct http_conn *conn, enum http_conn_state state);
void http_conn_feed(struct http_conn *conn, struct str bytes); /* may free it */
void http_conn_update(struct http_conn *conn);                 /* awaited events and timer */
void http_conn_read(struct http_conn *conn);                   /* reads and feeds; may free it */
void http_conn_lose(struct http_conn *conn); /* closes at once and calls on_gone */

/* Throws the unsent output away, as the client does not take it, and ends the connection. */
void http_conn_lose_unsent(struct http_conn *conn);
/* Answers a waiting request, whose handler will not, with 503; then ends the connection. */
void http_conn_refuse_waiting(struct http_conn *conn, const char *reason);

/* http_room.c: the list of idle connections. */
void http_room_update(struct http_conn *conn); /* in or out, by its state */
void http_room_touch(struct http_conn *conn);  /* it moved on */
void http_room_leave(struct http_conn *conn);
/* Closes other connections whose clients do not read, while all together hold too much. */
void http_room_limit_held(struct http_conn *blocked);

/* http_dispatch.c: the first two return false when feeding cannot go on. */
bool http_dispatch_head(struct http_conn *conn);      /* server->head was parsed from input */
bool http_dispatch_collected(struct http_conn *conn); /* the body is complete */
/* Answers a request that is not HTTP or breaks a limit, then ends the connection. */
void http_dispatch_refuse(struct http_conn *conn, int status, const char *reason);
void http_dispatch_take(struct http_conn *conn, size_t n);
/* Sets the state that follows when the request is answered, waits or streams. */
void http_dispatch_after(struct http_conn *conn);
/* Passes over a small body after an early answer; behind a larger one the connection ends. */
void http_dispatch_skip(struct http_conn *conn);

/* http_out.c */
bool http_out_is_empty(const struct http_conn *conn);
bool http_out_has_body(const struct http_conn *conn); /* a file or a made body is not all sent */
void http_out_end_source(struct http_conn *conn, bool is_whole); /* if there is one */
void http_out_flush_later(struct http_conn *conn);
void http_out_continue(struct http_conn *conn);
/* Writes what it can. False when the connection was lost (`conn` may be freed). */
bool http_out_flush(struct http_conn *conn);

#endif
