/* The number of events of each of the last seven days (UTC). Pure: no clock. */
#ifndef DAEMON_WEEK_H
#define DAEMON_WEEK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

enum { WEEK_DAYS = 7 };

/* All zeros is a week without events. */
struct week {
    int64_t day; /* days since the epoch: of counts[0]; counts[1] is of the day before */
    int64_t counts[WEEK_DAYS];
};

/* Counts an event of that time (ms since the epoch). When it is of a day before the last one, as
 * the clock was set back, the last one counts as of its day. */
void week_add(struct week *w, int64_t at_ms);

/* Returns the number of events in the seven days that end with the day of `now_ms`. */
int64_t week_sum(const struct week *w, int64_t now_ms);

/* Appends {"day":N,"counts":[…]}. */
void week_put(struct buf *out, const char *key, const struct week *w);

/* Reads that object. Returns false, and leaves *w as it is, when `value` is none. */
bool week_read(struct week *w, const struct json *value);

#endif
