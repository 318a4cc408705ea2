/*
 * The inside of a call, shared by http_call.c (its life), http_send.c and http_receive.c.
 *     START ──► CONNECT ──► EXCHANGE ──► BODY ──► DONE       (START ──► EXCHANGE when reused)
 *       ▲                      │ closed before any byte of an answer, reused: once
 *       └──────────────────────┘
 */
#ifndef HTTP_HTTP_CALL_H
#define HTTP_HTTP_CALL_H

#include "http/connect.h"
#include "http/http_client.h"
#include "http/http_idle.h"
#include "net/stream.h"
#include "proto/http_body.h"
#include "proto/http_head.h"

/* Bytes of one read, and what one step moves at most; how often it is looked what a server takes of
 * a body that is in the kernel. */
enum {
    HTTP_CALL_READ_BYTES = HTTP_IDLE_BUFFER_BYTES,
    HTTP_CALL_STEP_BYTES = 4 << 20,
    HTTP_CALL_WATCH_MS = 1000
};

enum http_call_state {
    HTTP_CALL_START,
    HTTP_CALL_CONNECT,
    HTTP_CALL_EXCHANGE, /* the request goes out; the head of the answer may come any time */
    HTTP_CALL_BODY,     /* of the answer */
    HTTP_CALL_DONE,
    HTTP_CALL_FAILED
};

struct http_call {
    struct http_client *client; /* borrowed */
    struct loop_wake wake;
    struct loop_call begin; /* the first step */
    struct loop_timer alarm;
    struct http_call_options options;
    struct buf label, url, origin, method, head_out;
    struct http_proxy proxy;
    bool is_absolute; /* asked of the proxy itself, in absolute form */
    int64_t begun_ms, activity_ms;
    enum http_call_state state;
    struct err failure;
    bool is_own_failure; /* the source's or the sink's: passed on as it is */
    bool is_reused, is_retried;
    struct connect *connect;
    struct stream *stream;

    /* out */
    size_t head_sent;
    struct str chunk;  /* of the body, not sent yet */
    int64_t body_left; /* not taken from the source yet */
    int64_t body_sent;
    bool is_sent, is_source_used, is_source_waiting;
    bool is_held;           /* asked by Expect, not answered: until body_due_ms once that is set */
    int64_t body_due_ms;    /* or CLOCK_NEVER_MS */
    size_t unacknowledged;  /* of a source's body when all of it is sent */
    struct err send_failure; /* an answer may be there all the same */

    /* in: [in_start, in_end) of in_data is read and not used */
    char *in_data;
    size_t in_start, in_end;
    bool has_answer_byte;
    unsigned interim;
    struct http_head_parser parser;
    struct buf head_in;
    struct http_head head; /* borrowed from head_in */
    struct http_body body;
    struct buf answer;
    bool is_cut;
};

/* Sends what the socket takes. IO_DONE: all is sent, or sending failed (send_failure);
 * IO_WANT_WRITE; IO_WANT_READ: the source has nothing yet; IO_ERR: the source failed. */
enum io http_send_step(struct http_call *call, int64_t now_ms, struct err *e);

/* Looks whether the server's host has taken more of a body that is sent. */
void http_send_watch(struct http_call *call, int64_t now_ms);

/* Forgets what was sent, for a new connection. */
void http_send_rewind(struct http_call *call);

/* Reads up to the final head. IO_DONE: call->head; IO_WANT_READ; IO_EOF: closed or reset without a
 * head, with the cause in *e; IO_ERR. */
enum io http_receive_head(struct http_call *call, int64_t now_ms, struct err *e);

/* Reads the body. IO_DONE: complete; IO_WANT_READ; IO_ERR. */
enum io http_receive_body(struct http_call *call, int64_t now_ms, struct err *e);

/* Returns true when the connection is in a state for another call. */
bool http_receive_is_clean(const struct http_call *call);

#endif
