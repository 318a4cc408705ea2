/*
 * Decides when the status file is written: on a change, at most once in status_ms, and when nothing
 * has changed for status_idle_ms. Keeps what outlives the daemon (history.h). The keeper writes;
 * only status_writer_read touches a file, at the start.
 */
#ifndef DAEMON_STATUS_WRITER_H
#define DAEMON_STATUS_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "daemon/history.h"
#include "daemon/intervals.h"
#include "daemon/keeper.h"
#include "daemon/processor.h"
#include "daemon/status.h"

struct status_writer {
    struct history *history;
    /* private */
    const struct intervals *intervals;
    struct processor processor;
    struct buf text, written; /* as it would be now, as the keeper got it last; without times */
    int64_t next_ms, idle_ms; /* not before, and at the latest */
};

/* Reads what a status file at `path` has of the resource's history into *out, which is empty. A
 * file that is absent, damaged or of another resource has none. File I/O, which may hang. */
void status_writer_read(struct history *out, const char *path, const char *resource);

/* Begins; both are borrowed, and `history` is what is counted on. */
void status_writer_init(struct status_writer *w, const struct intervals *intervals,
                        struct history *history);
void status_writer_deinit(struct status_writer *w);

/* Returns whether a change would be written now. */
bool status_writer_is_due(const struct status_writer *w, int64_t now_ms);

/* Gives the status to the keeper if it has changed, or is due all the same. The view's history,
 * processor and time are filled in. */
void status_writer_step(struct status_writer *w, struct status_view *view, struct keeper *keeper,
                        int64_t now_ms);

/* Gives the keeper the last status. */
void status_writer_end(struct status_writer *w, struct status_view *view, struct keeper *keeper);

/* Returns when status_writer_step has to be called, whatever changes. */
int64_t status_writer_next_ms(const struct status_writer *w, int64_t now_ms);

#endif
