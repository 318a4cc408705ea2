/*
 * Does the gateway answer, is this client registered in the zone, may it upload? Asked in a
 * short-lived child: at the start, again soon while the answer is no or there is none, and once an
 * hour. The daemon runs on meanwhile. Only words for the log and the status file come of it.
 */
#ifndef DAEMON_REGISTRATION_H
#define DAEMON_REGISTRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/config.h"
#include "loop/loop.h"

struct child;

enum registration_state { REGISTRATION_UNKNOWN, REGISTRATION_DONE, REGISTRATION_MISSING };

/* Times are of the wall clock, 0: never. */
struct registration_view {
    enum registration_state state;
    int64_t answered_ms; /* the gateway answered */
    int64_t failed_ms;   /* it has not answered since */
    int64_t next_try_ms; /* it is asked again */
    bool has_clock;
    int64_t ahead_ms; /* this host's clock is ahead of that of the gateway */
    bool is_upload_known, may_upload;
    struct err failure;  /* why it did not answer; the last of them */
    struct err refusal;  /* why it takes no uploads */
};

struct registration {
    struct loop *loop;           /* borrowed */
    const struct config *config; /* borrowed */
    int64_t retry_ms;            /* the first pause; they double up to 16 times that */
    int64_t first_ms, check_ms;  /* after an answer: the second question, the others */
    void (*on_change)(void *owner); /* `view` is another */
    void *owner;
    struct registration_view view;
    /* private */
    struct child *child; /* that asks; NULL: none */
    struct loop_timer alarm;
    bool asks_upload; /* the next question is also whether it may upload */
    unsigned attempts;
    struct err told; /* the last failure in the log */
};

/* Starts to ask, in the next round. The private part is zero before; the struct stays where it is
 * until it is cancelled. */
void registration_start(struct registration *r);
void registration_cancel(struct registration *r);

#endif
