/*
 * The daemon's memory, which its restarts leave: totals, what was asked for that is not here, why
 * connections ended, which workers were lost. Kept in the status file and read back from it. Pure:
 * no file, no clock. A file that is damaged, or of another version, leaves out what it does not
 * have.
 */
#ifndef DAEMON_HISTORY_H
#define DAEMON_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/sha1.h"
#include "base/str.h"
#include "daemon/week.h"

enum {
    HISTORY_ABSENT = 32,      /* hashes that are kept */
    HISTORY_ABSENT_DAYS = 30, /* a hash that was not asked for in so long goes first */
    HISTORY_ASKER_BYTES = 64,
    HISTORY_CAUSES = 6,
    HISTORY_CAUSE_BYTES = 200
};

struct history_totals {
    int64_t since_ms; /* they count from then */
    int64_t requests, completed, failed, not_here, changed, bytes_uploaded, range_bytes;
};

/* A hash that was asked for and is not here. */
struct history_absent {
    char hash[SHA1_HEX + 1];
    int64_t count, last_ms;
    char asker[HISTORY_ASKER_BYTES]; /* the address of the last to ask; "" when not known */
};

struct history_cause {
    char text[HISTORY_CAUSE_BYTES];
    int64_t last_ms;
    struct week week;
};

/* Events by their causes, of which the latest are kept. */
struct history_causes {
    struct history_cause items[HISTORY_CAUSES];
    size_t count;
    struct week all; /* also of causes that are not kept any more */
};

/* All zeros is an empty one. */
struct history {
    struct history_totals totals;
    struct history_absent absent[HISTORY_ABSENT];
    size_t absent_count;
    struct history_causes ends; /* of connections to the proxy that were acknowledged */
    struct history_causes lost; /* workers; a cause begins with the worker's name and ": " */
    int64_t date, date_cpu_ms;  /* processor time, all processes, of a local date (20261103) */
};

/* Counts a request for a hash that is not here, by `asker` (empty: not known; what does not fit is
 * cut). A table that is full forgets the hash that was asked for least often, of those the
 * oldest. */
void history_add_absent(struct history *h, const char *hash, struct str asker, int64_t at_ms);

/* Counts an event. A text that does not fit is cut. */
void history_add_cause(struct history_causes *c, const char *text, int64_t at_ms);

/* Returns the cause of the latest event; NULL when there was none. */
const struct history_cause *history_last_cause(const struct history_causes *c);

/* Appends the members of the status file that history_read reads, but for "totals" and
 * "processor": those with what was counted since the start. */
void history_put_members(struct buf *out, const struct history *h);
void history_put_totals(struct buf *out, const struct history_totals *totals);

/* Reads what `status`, the object of a status file, has of all that into an empty history. Members
 * that are absent or bad leave their part empty. */
void history_read(struct history *h, const struct json *status);

#endif
