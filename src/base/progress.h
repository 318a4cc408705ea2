/*
 * A progress line on a terminal's stderr: files, bytes, rate, ETA; redrawn at most 10 times a
 * second, never wider than the terminal. Prints nothing when stderr is no terminal (or TERM=dumb)
 * or when told to be quiet. Does not wait for a stopped terminal.
 */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool is_shown;
    bool is_drawn;
    const char *what; /* e.g. "linking"; borrowed */
    int64_t drawn_ms;
    uint64_t drawn_bytes;   /* as they were then */
    double rate;            /* bytes a second, smoothed over some seconds; negative: not known */
    uint64_t files, files_total; /* total 0: unknown */
    uint64_t bytes, bytes_total;
};

/* The totals may be set (and changed) at any time after. */
void progress_init(struct progress *p, const char *what, bool is_quiet);

/* Sets the counters and redraws when it is time. */
void progress_update(struct progress *p, uint64_t files, uint64_t bytes);

/* Removes the line, so that other output can follow. Call before printing and at the end. */
void progress_clear(struct progress *p);

#endif
