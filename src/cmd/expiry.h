/* Times at which something ends, as users write them: 90m, 12h, 7d, 2027-03-01. Pure. */
#ifndef CMD_EXPIRY_H
#define CMD_EXPIRY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { EXPIRY_MAX_DAYS = 36500 };

/* *at_ms: ms since the epoch. A number of minutes, hours or days from now on, or the begin of a day
 * in UTC, which is in the future. ERR_USAGE quotes the text and names the forms. */
int expiry_parse(struct str text, int64_t now_ms, int64_t *at_ms, struct err *e) ERR_CHECKED;

/* Appends a time in UTC: 2027-03-01T00:00:00Z. */
void expiry_put(struct buf *out, int64_t at_ms);

#endif
