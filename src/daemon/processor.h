/* The processor time of this process and its children: in all, and today. */
#ifndef DAEMON_PROCESSOR_H
#define DAEMON_PROCESSOR_H

#include <stdint.h>

/* All zeros: of no day yet. */
struct processor {
    int64_t date;     /* of today, as time_text_date */
    int64_t before_ms; /* of today, of processes before this one */
    int64_t base_ms;   /* used by this one and its children until today began */
};

struct processor_view {
    int64_t supervisor_ms, all_ms; /* this process; with its children */
    int64_t date, today_ms;
};

/* Begins with what processes before this one have used on the date `date`. */
void processor_init(struct processor *p, int64_t date, int64_t used_before_ms);

/* Returns the times now; `wall_ms` decides which day it is. */
struct processor_view processor_look(struct processor *p, int64_t wall_ms);

#endif
