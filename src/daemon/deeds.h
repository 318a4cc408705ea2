/*
 * The deeds of the daemon: a line in the log for each request that it answered, and a line in the
 * audit for that, for each upload and for each opening of a file to be read in parts. The questions
 * of daemons and of `doctor` whether a resource is connected are no requests.
 */
#ifndef DAEMON_DEEDS_H
#define DAEMON_DEEDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "daemon/audit.h"
#include "daemon/jobs.h"
#include "daemon/keeper.h"

/* `keeper` is borrowed; all else zero before first use. */
struct deeds {
    struct keeper *keeper;
    bool has_audit;
    struct buf line;
};

void deeds_deinit(struct deeds *d);

/* Notes a request that was answered with the state of its job. */
void deeds_answered(struct deeds *d, const struct jobs_answer *answer);

/* Notes a request that got no job; `hash` is NULL where there is none in it. */
void deeds_refused(struct deeds *d, const char *hash, struct str asker, const char *reason);

/* Notes anything in the audit alone. */
void deeds_note(struct deeds *d, const struct audit_event *event);

#endif
