/*
 * The lines of the audit: JSON objects for a lab's data manager, one for each request that was
 * answered, file that was uploaded and file that was opened to be read in parts. Pure.
 */
#ifndef DAEMON_AUDIT_H
#define DAEMON_AUDIT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { AUDIT_UNKNOWN = -1 }; /* a number that is not known: null */

struct audit_event {
    const char *event; /* "request", "upload", "open" */
    struct str hash, path, outcome, reason, asker; /* empty: null; reason: left out */
    int64_t size, bytes, ms;
};

/* Appends an event and a line end. */
void audit_put(struct buf *out, int64_t wall_ms, const struct audit_event *event);

/* Appends a line that says how many lines could not be written before. */
void audit_put_lost(struct buf *out, int64_t wall_ms, uint64_t lines);

#endif
