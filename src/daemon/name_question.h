/*
 * One question to the resource proxy over HTTP: does a daemon share this resource? It is asked as a
 * remote client would, with a request for a hash that is of no file (message_make_question). HTTP
 * proxies and trusted certificates are those of every other call.
 */
#ifndef DAEMON_NAME_QUESTION_H
#define DAEMON_NAME_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "daemon/config.h"
#include "loop/loop.h"

struct name_question;

struct name_answer {
    int status;      /* of HTTP */
    int64_t retry_after_ms; /* the pause that it asked for; -1: none */
    bool is_denial;  /* 404 in a resource proxy's words: it has no such resource */
    bool is_response; /* 200 with the answer of a daemon */
    bool is_unheard; /* the server takes no such question (405, 426, 501, a 400 that names
                        WebSocket), or another one answered (407 of an HTTP proxy, a web page, a
                        redirection, a 200 of another service): it shows nothing */
};

/* Asks the proxy of `config` (borrowed, complete) for its resource, in the protocol's first or
 * second generation. `wake` comes when a step is due. NULL without memory or with a bad URL. */
struct name_question *name_question_new(const struct config *config, bool is_generation2,
                                        int64_t deadline_ms, const struct loop_wake *wake,
                                        struct err *e);
void name_question_free(struct name_question *q);

/* Goes on as far as it can without waiting. IO_DONE with the answer; IO_ERR: there is none, and it
 * is not known whether the name is taken. */
enum io name_question_step(struct name_question *q, int64_t now_ms, struct name_answer *answer,
                           struct err *e);

#endif
