/*
 * Lines of the audit on their way to the keeper: they wait here while it is busy, and go again to
 * its successor when it did not report that it has written them. Lines that do not fit are counted.
 */
#ifndef DAEMON_AUDIT_QUEUE_H
#define DAEMON_AUDIT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    AUDIT_QUEUE_BYTES = 16 << 20, /* of all lines that wait */
    AUDIT_QUEUE_BATCH = 24000,    /* of those that go together: JSON text in JSON fits a frame */
    AUDIT_QUEUE_LINE = 31000      /* of one line, for the same */
};

/* All zeros is empty. */
struct audit_queue {
    struct buf lines;
    size_t first, given; /* bytes that are done; then, that the keeper has */
    uint64_t given_lines;
    bool is_given;    /* it has not reported yet */
    uint64_t lost;    /* lines that could not be written, and are to be reported by a line */
    uint64_t told;    /* of them, those that the keeper knows */
};

void audit_queue_deinit(struct audit_queue *q);

/* Adds a line, or counts it as lost. */
void audit_queue_add(struct audit_queue *q, const struct buf *line);

/* Takes what the keeper is to write next, borrowed until the queue changes. False when it has not
 * reported the last of it yet, and when there is nothing. */
bool audit_queue_next(struct audit_queue *q, struct str *lines, uint64_t *lost);

/* Takes the keeper's report: `lost` lines were not written, of those that it was given and of those
 * that were lost before. */
void audit_queue_done(struct audit_queue *q, uint64_t lost);

/* There is another keeper: it is given again what the last one has not reported. */
void audit_queue_again(struct audit_queue *q);

bool audit_queue_is_empty(const struct audit_queue *q);

#endif
