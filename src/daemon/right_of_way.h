/*
 * The right of way on the link of this host: the range worker for bulk lets small reads pass, which
 * another process sends (range_worker.h). It is shared memory, that no worker waits for an answer
 * of the other: the right of one that hangs ends by itself. Knows no line and no clock.
 */
#ifndef DAEMON_RIGHT_OF_WAY_H
#define DAEMON_RIGHT_OF_WAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RIGHT_OF_WAY_MS = 15,             /* since a small read was sent last, bulk waits */
    RIGHT_OF_WAY_CONTESTED_MS = 10000,
    RIGHT_OF_WAY_ROW_MS = 500,        /* one small read alone, such as an opening, is no contest */
    RIGHT_OF_WAY_MOST_MS = 200        /* bulk does not wait longer, whatever passes */
};

struct right_of_way;

/* Makes it, for processes that are forked later. NULL without memory: then no small read is seen,
 * and NULL is taken by all functions here. */
struct right_of_way *right_of_way_new(void);
void right_of_way_free(struct right_of_way *way);

/* Takes note that a small read is being sent, or is to be sent at once. */
void right_of_way_take(struct right_of_way *way, int64_t now_ms);

/* Returns whether small reads are sent these seconds, one after the other. */
bool right_of_way_is_contested(const struct right_of_way *way, int64_t now_ms);

/* Returns for how many ms the next block of bulk is to let small reads pass; `sent_ms`: when the
 * last one was sent. 0: it may be sent. */
int64_t right_of_way_wait_ms(const struct right_of_way *way, int64_t sent_ms, int64_t now_ms);

#endif
