/*
 * Is this client registered in the zone? Asked in a short-lived child at the start, and again while
 * the answer is no; the daemon runs on meanwhile. Only words for the log come of it.
 */
#ifndef DAEMON_REGISTRATION_H
#define DAEMON_REGISTRATION_H

#include <stdint.h>

#include "base/err.h"
#include "daemon/config.h"
#include "loop/loop.h"

struct child;

enum registration_state { REGISTRATION_UNKNOWN, REGISTRATION_DONE, REGISTRATION_MISSING };

struct registration {
    struct loop *loop;           /* borrowed */
    const struct config *config; /* borrowed */
    int64_t retry_ms;            /* the first pause; they double up to 16 times that */
    void (*on_change)(void *owner); /* `state` is another */
    void *owner;
    /* private */
    struct child *child; /* that asks; NULL: none */
    struct loop_timer alarm;
    enum registration_state state;
    unsigned attempts;
    struct err told; /* the last failure in the log */
};

/* Starts to ask, in the next round. The private part is zero before; the struct stays where it is
 * until it is cancelled. */
void registration_start(struct registration *r);
void registration_cancel(struct registration *r);

#endif
