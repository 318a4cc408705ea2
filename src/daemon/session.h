/*
 * The line to the resource proxy: dials, introduces itself, hands requests on, sends answers, dials
 * again for ever. Knows nothing of jobs.
 *
 *     WAITING ──► ASKING ──► DIALLING ──► GREETING ──► READY
 *        ▲           │           │ (initialize sent)     │
 *        └───────────┴───────────┴───── lost ────────────┘        any ──► CLOSING ──► CLOSED
 *
 * Before the first acknowledge of a holding of the lease it asks the proxy over HTTP whether the
 * name is free (name_question.h); afterwards it dials at once.
 *
 * A proxy that closes without an acknowledge and without a code may be of the other generation: the
 * next attempt speaks that one's, and what was acknowledged is kept. A proxy that has forgotten
 * this resource (presence.h) is dialled again.
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/config.h"
#include "daemon/intervals.h"
#include "loop/loop.h"
#include "proto/message.h"
#include "proto/range_message.h"

struct session;

struct session_options {
    struct loop *loop;                 /* borrowed */
    const struct config *config;       /* borrowed, complete */
    const struct intervals *intervals; /* borrowed */
    /* A request with an id, which is borrowed for the call. May call session_respond. */
    void (*on_request)(void *owner, const struct message *request);
    /* A proxy that announced ranges (range_message.h) wants a line to `url`, or to know what a file
     * is: session_answer_file. Strings are borrowed for the call. NULL: nothing is announced. */
    void (*on_open_line)(void *owner, struct str url, const struct range_message *m);
    void (*on_ask_file)(void *owner, const struct range_message *m);
    /* The line is gone, for that cause: answers to what came over it reach nobody. */
    void (*on_lost)(void *owner, const char *cause);
    /* The proxy has acknowledged; called before the log gets its line. May be NULL. */
    void (*on_ready)(void *owner);
    /* The results of session_is_closed and session_describe have changed. */
    void (*on_change)(void *owner);
    /* It makes no sense to go on, and nothing follows: the proxy refuses the secret, or
     * `yields`. Everything else is logged and tried again. */
    void (*on_end)(void *owner, const struct err *reason);
    /* Gives up (ERR_TAKEN) when the proxy reports that the name is taken, before it was ever ours
     * in this holding of the lease. */
    bool yields;
    void *owner;
};

/* Makes a session, which dials in the first round. */
struct session *session_new(const struct session_options *options);
void session_free(struct session *s);

/* Queues one answer: `status`, or with `error` not empty a failure of the request itself. Does
 * nothing while there is no session. All of one round go out together at its end. */
void session_respond(struct session *s, struct str request_id, const struct upload_status *status,
                     struct str error);

/* Queues the answer to on_ask_file. Does nothing without a session that announced ranges. */
void session_answer_file(struct session *s, const struct range_message *file_is);

/* Hangs up and does not dial until session_resume; `why` is the failure that is described
 * meanwhile. `is_new_holding`: the lease was another's meanwhile. */
void session_pause(struct session *s, const char *why);
void session_resume(struct session *s, bool is_new_holding);

/* Closes the line once the queue is sent; then session_is_closed. */
void session_close(struct session *s);
bool session_is_closed(const struct session *s);

/* For the status file. */
struct session_view {
    const char *state;   /* "waiting", "connecting", "connected" */
    int64_t since_ms;    /* wall clock: in this state */
    int64_t out_since_ms; /* wall clock: not connected; 0: it is, or never was */
    int64_t next_try_ms;  /* wall clock: it dials again; 0: it does not wait for a time */
    int64_t retry_after_ms; /* the pause before, that the proxy asked for; <= 0: it did not */
    const char *failure; /* why the last attempt or session ended; "" */
    /* That was a refusal, as another daemon has the name: by this code of a WebSocket close (4009),
     * or by this HTTP status of the answer to the question whether the name is free; else 0. */
    int refused_code;
    int64_t refused_ms; /* wall clock: since when it is refused; 0: it is not */
};
struct session_view session_describe(const struct session *s);

#endif
