/* Times at which something ends, as users write them: 90m, 12h, 7d, 2027-03-01. Pure. */
#ifndef CMD_EXPIRY_H
#define CMD_EXPIRY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { EXPIRY_MAX_DAYS = 36500 };

/* Parses a number of minutes, hours or days from now on, or a date: the begin of that day in UTC.
 * *at_ms and now_ms are ms since the epoch. ERR_USAGE, which quotes the text and names the forms,
 * for any other text, and for a time that is over or more than EXPIRY_MAX_DAYS away. */
int expiry_parse(struct str text, int64_t now_ms, int64_t *at_ms, struct err *e) ERR_CHECKED;

/* Appends a time in UTC: 2027-03-01T00:00:00Z. */
void expiry_put(struct buf *out, int64_t at_ms);

#endif
