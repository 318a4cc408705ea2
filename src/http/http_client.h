/*
 * An HTTP/1.1 client: calls as step machines, connections kept and reused per origin. Blocking
 * callers use http_client_perform, which runs the loop.
 */
#ifndef HTTP_HTTP_CLIENT_H
#define HTTP_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "http/http_answer.h"
#include "loop/loop.h"
#include "proto/http_head.h"

enum {
    HTTP_CLIENT_STALL_MS = 60000,     /* no byte either way */
    HTTP_CLIENT_MAX_ANSWER = 1 << 20, /* collected answers */
    HTTP_CLIENT_MAX_INTERIM = 10,     /* 1xx answers before the final one */
    HTTP_CLIENT_IDLE_MS = 50000,      /* a connection is kept for its next call */
    HTTP_CLIENT_SOURCE_IDLE_MS = 3000 /* the same, for a call that could not be repeated */
};

struct http_client; /* the idle connections */
struct http_call;   /* one request and its answer */

/* Makes a client. The loop is borrowed. NULL without memory. */
struct http_client *http_client_new(struct loop *loop, struct err *e);

/* Closes the idle connections; after the last call was freed, before the loop is. NULL-safe. */
void http_client_free(struct http_client *client);

struct http_call_options {
    struct str method, url;
    const struct http_header *headers; /* besides Host, Content-Length, User-Agent, Connection */
    size_t header_count;
    struct str body; /* whole body in memory; or: */
    /* The body's source: IO_DONE with the next 1 to … bytes in *chunk, borrowed until the next
     * call; IO_EOF after body_size bytes; IO_ERR drops the connection at once (the peer must not
     * take what it got as complete) and the call fails with that error, as it is. It may answer
     * IO_WANT_READ when it has nothing yet: the call then waits without a stall limit, and whoever
     * steps it knows when to step again. */
    enum io (*source)(void *ctx, struct str *chunk, struct err *e);
    int64_t body_size; /* with source */
    /* Takes the bytes of a 200 or 206 answer as they come; without it (and for other statuses) the
     * answer is collected. -1 ends the call with that error, as it is. */
    int (*sink)(void *ctx, const struct http_head *head, struct str chunk, struct err *e);
    void *ctx;
    /* Of a collected answer; 0: HTTP_CLIENT_MAX_ANSWER. Of one that is no success (a status from
     * 300 on, a web page, anything but 200 and 206 for a sink) the beginning is enough: it is cut
     * there, and it is done when the connection ends in its middle. Others are an error. */
    size_t max_answer_bytes;
    int64_t deadline_ms; /* of the whole call (clock_now_ms()), or CLOCK_NEVER_MS */
    int64_t stall_ms;    /* no byte either way for so long; 0: HTTP_CLIENT_STALL_MS */
    /* No byte of an answer so long after the server's host has all of a source's body; 0: stall_ms.
     */
    int64_t answer_ms;
    /* Send `Expect: 100-continue` (RFC 9110 §10.1.1): the body goes out when the server asks for
     * it, or after so long without a word; not at all when it refuses. 0: without asking. */
    int64_t expect_ms;
};

/* Copies method, URL and headers; `body`, ctx stay borrowed until the call is freed. `wake` comes
 * from the client's loop when a step is due, the first time soon. ERR_USAGE for a bad URL and one
 * with a user name. */
struct http_call *http_call_new(struct http_client *client, const struct http_call_options *options,
                                void (*wake)(void *owner), void *owner, struct err *e);

/*
 * Goes on as far as it can. IO_DONE: the answer is complete (whatever its status; redirections are
 * not followed). An answer that comes before all of the body was sent ends the call too: the rest
 * is not sent and the connection is not reused. IO_WANT_…: the wake comes. IO_ERR: ERR_NETWORK
 * (connect, reset, cut, stall), ERR_TIMEOUT (the deadline), ERR_PROTOCOL, ERR_TOO_LARGE; each names
 * method and URL without its query. Or the source's or sink's own. A reused connection that the
 * server closed before any byte of an answer is replaced by a new one once, when the source was not
 * called yet. One step moves at most a few MiB, so that the caller has its turn.
 */
enum io http_call_step(struct http_call *call, int64_t now_ms, struct err *e);

/* Returns the number of the body's bytes that have reached the server's host; it may be more, not
 * less. */
int64_t http_call_delivered(const struct http_call *call);

/* Return the answer's head and body, after IO_DONE; borrowed from the call. */
const struct http_head *http_call_head(const struct http_call *call);
struct str http_call_body(const struct http_call *call);

/* Returns the answer for http_answer.h, with `service` and `setting` as there. Borrowed from the
 * call. */
struct http_reply http_call_answer(const struct http_call *call, const char *service,
                                   const char *setting);

/* Ends the call; a connection in mid-call is closed. (One that can be used again went back to the
 * client when the answer was complete.) NULL-safe. */
void http_call_free(struct http_call *call);

/* Looks in on a call that http_client_perform runs: before each step, and at least so often. -1
 * ends the call with that error. */
struct http_client_watch {
    int (*look)(void *ctx, const struct http_call *call, struct err *e);
    void *ctx;
    int64_t every_ms;
};

/* Runs the loop until a call is at its end; the caller reads it with http_call_head/body and frees
 * it. `watch` may be NULL. NULL on error. As loop_run_until never from within a callback. */
struct http_call *http_client_perform(struct http_client *client,
                                      const struct http_call_options *options,
                                      const struct http_client_watch *watch, struct err *e);

#endif
