/*
 * The uploads of the job table, in a pool of worker processes. Starts what the table offers, tells
 * it what came of it.
 */
#ifndef DAEMON_UPLOADS_H
#define DAEMON_UPLOADS_H

#include <stdint.h>

#include "base/err.h"
#include "daemon/audit.h"
#include "daemon/config.h"
#include "daemon/credits.h"
#include "daemon/intervals.h"
#include "daemon/jobs.h"
#include "loop/loop.h"

struct uploads;

struct uploads_options {
    struct loop *loop;
    struct jobs *jobs;                 /* borrowed */
    const struct config *config;       /* borrowed */
    const struct intervals *intervals; /* borrowed */
    struct credits *credits;           /* borrowed; NULL: workers send as they like */
    /* Called before the table changes and when a worker became free: the table's time is to be set,
     * and uploads_feed to be called at the end of the round. */
    void (*on_touch)(void *owner);
    /* A file was uploaded, or its upload failed; the event is borrowed. */
    void (*on_end)(void *owner, const struct audit_event *event);
    void *owner;
};

/* The uploads since the start. */
struct uploads_totals {
    int64_t completed, bytes;
    int64_t failed, changed; /* a file that was changed since it was shared counts there alone */
    int64_t answered_ms;     /* wall clock: the gateway answered an upload; 0: none yet */
};

/* Makes it without workers; the options are copied. NULL with ERR_FAILED without memory. */
struct uploads *uploads_new(const struct uploads_options *options, struct err *e);

/* Ends the workers, also in mid-upload. Tells the table nothing. Runs the loop meanwhile, so it is
 * called outside of all callbacks. NULL-safe. */
void uploads_free(struct uploads *u);

/* Gives the table's next uploads to workers. */
void uploads_feed(struct uploads *u);

/* Returns the numbers of uploads and of their bytes since the start. */
struct uploads_totals uploads_totals(const struct uploads *u);

#endif
