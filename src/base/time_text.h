/* Times and spans as people read them, in the time zone of this process. */
#ifndef BASE_TIME_TEXT_H
#define BASE_TIME_TEXT_H

#include <stdint.h>

#include "base/buf.h"

/* Appends a time (ms since the epoch) to the minute: "2026-11-03 08:12". */
void time_text_put(struct buf *out, int64_t at_ms);

/* Appends the same without the date when that is the date of `now_ms`: "11:02". */
void time_text_put_near(struct buf *out, int64_t at_ms, int64_t now_ms);

/* Appends a span in one unit, rounded down: "4 s", "12 min", "3 h", "24 d". Less than 0 is 0. */
void time_text_put_span(struct buf *out, int64_t ms);

/* Returns the date of a time as a number, such as 20261103: it grows with the date. */
int64_t time_text_date(int64_t at_ms);

#endif
