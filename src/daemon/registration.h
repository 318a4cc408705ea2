/*
 * Is this client registered in the zone? Asked in a short-lived child at the start, and again while
 * the answer is no; the daemon runs on meanwhile. Only words for the log come of it.
 */
#ifndef DAEMON_REGISTRATION_H
#define DAEMON_REGISTRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/config.h"
#include "proc/pollset.h"
#include "proc/process.h"

enum registration_state { REGISTRATION_UNKNOWN, REGISTRATION_DONE, REGISTRATION_MISSING };

struct registration {
    const struct config *config; /* borrowed */
    int64_t retry_ms;      /* the first pause; they double up to 16 times that */
    /* private */
    struct process process;
    enum registration_state state;
    bool is_asking;
    unsigned attempts;
    int64_t next_ms;
    struct err told; /* the last failure in the log */
};

/* Zero the private part first. */
void registration_step(struct registration *r, int64_t now_ms);
void registration_poll(const struct registration *r, struct pollset *set);
void registration_cancel(struct registration *r);

#endif
