/*
 * The highest rate at which the host sends files: one for always, and others for times of the week.
 * Pure: no clock, no time zone.
 */
#ifndef DAEMON_RATE_PLAN_H
#define DAEMON_RATE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"

enum { RATE_PLAN_MAX_RULES = 100, RATE_PLAN_MIN_BYTES = 100000 /* a second */ };

#define RATE_PLAN_MAX_BYTES INT64_C(1000000000000)

/* From a time of some days on, to the same time or a later one of that day or the next. */
struct rate_rule {
    unsigned days; /* bit 0: Sunday, as tm_wday */
    int from_minute, to_minute; /* of the day; to_minute is smaller across midnight */
    int64_t bytes; /* a second; 0: no limit */
};

/* All zeros is a plan without any limit. */
struct rate_plan {
    int64_t bytes; /* a second, when no rule applies; 0: no limit */
    struct rate_rule rules[RATE_PLAN_MAX_RULES];
    size_t count;
};

/* Reads a rate such as "50MB" (10^6 bytes a second), "1.5 GB/s" or "200KiB". ERR_USAGE with what is
 * accepted, without the text. */
int rate_plan_parse_rate(struct str text, int64_t *bytes, struct err *e) ERR_CHECKED;

/* Adds a rule such as "Mon-Fri 08:00-18:00 10MB". ERR_USAGE as above. */
int rate_plan_add(struct rate_plan *plan, struct str rule, struct err *e) ERR_CHECKED;

/* Returns whether there is a limit at any time. */
bool rate_plan_limits(const struct rate_plan *plan);

/* Returns the bytes a second at a local time: those of the last rule that applies; 0: no limit. */
int64_t rate_plan_at(const struct rate_plan *plan, const struct tm *local);

#endif
