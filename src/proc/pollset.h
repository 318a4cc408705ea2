/*
 * What a set of step machines waits for: descriptors and the earliest deadline. A blocking caller
 * is `step` + pollset_wait; a supervisor collects all its machines in one set.
 */
#ifndef PROC_POLLSET_H
#define PROC_POLLSET_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* All zeros is a valid empty set without deadline (see pollset_clear). */
struct pollset {
    struct pollfd *fds;
    size_t count, cap;
    bool has_deadline;
    int64_t deadline_ms; /* clock_now_ms() */
    bool failed; /* no memory: the last ones are missing */
};

/* Empties the set, keeps its memory. */
void pollset_clear(struct pollset *set);
void pollset_free(struct pollset *set);

/* Adds POLLIN and/or POLLOUT of a descriptor; fd < 0 is ignored. */
void pollset_add(struct pollset *set, int fd, short events);

/* Wakes not later than `deadline_ms`; CLOCK_NEVER_MS is ignored. */
void pollset_wake_at(struct pollset *set, int64_t deadline_ms);

/* Waits until something is ready or the deadline passed (or a signal came: that is not an error).
 * Without memory for all descriptors it waits for the others, and not long. Returns how many
 * descriptors are ready, or -1. */
int pollset_wait(struct pollset *set, struct err *e);

/* After pollset_wait: the revents of a descriptor, 0 when it is not ready or not in the set. */
short pollset_events(const struct pollset *set, int fd);

#endif
