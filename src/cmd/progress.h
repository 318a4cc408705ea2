/*
 * How far long work is, on stderr. On a terminal one line that is redrawn at most 10 times a
 * second, never wider than the terminal: files, bytes, rate, ETA, and a mark that moves however
 * still the rest stands. Elsewhere (a file, a pipe, TERM=dumb) a line a minute. Nothing when told
 * to be quiet. Does not wait for a stopped terminal.
 */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A test changes single ones with KACHERY_RESOURCE_TEST_PROGRESS, e.g. "line_ms=100". */
struct progress_times {
    int64_t redraw_ms; /* at most so often, on a terminal */
    int64_t tick_ms;   /* at least so often */
    int64_t line_ms;   /* elsewhere */
};

struct progress {
    enum { PROGRESS_SILENT, PROGRESS_BAR, PROGRESS_LINES } mode;
    struct progress_times times;
    bool is_drawn;
    const char *what; /* e.g. "linking"; borrowed */
    unsigned turns;   /* of the mark */
    int64_t began_ms; /* the work, or this part of it */
    int64_t drawn_ms;
    uint64_t drawn_bytes; /* as they were then */
    double rate;          /* bytes a second, smoothed over some seconds; negative: not known */
    uint64_t files, files_total; /* total 0: unknown */
    uint64_t bytes, bytes_total;
};

/* Sets the words before the lines, "kachery-resource load", from two that are copied. */
void progress_set_prefix(const char *program, const char *command);

/* Begins to show work; `what` is borrowed. The totals may be set and changed at any time after. */
void progress_init(struct progress *p, const char *what, bool is_quiet);

/* Begins another part of the same work: counters and rate begin anew; the next line is due as
 * before. */
void progress_begin_part(struct progress *p, const char *what);

/* Sets the counters and redraws when it is time. */
void progress_update(struct progress *p, uint64_t files, uint64_t bytes);

/* Redraws when it is time, with the counters as they are: called often in every wait. */
void progress_tick(struct progress *p);

/* Returns when the next tick should come at the latest (clock_now_ms()), or CLOCK_NEVER_MS. */
int64_t progress_due_ms(const struct progress *p);

/* Removes the line, so that other output can follow. Call before printing and at the end. */
void progress_clear(struct progress *p);

#endif
