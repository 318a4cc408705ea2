/*
 * Connections that wait until a worker process takes them. The newest is next: while more come than
 * the process can serve, those that just came are served at once, and the oldest, of which most
 * have been given up, are turned away when there are too many. No I/O.
 */
#ifndef HTTP_CREW_WAITING_H
#define HTTP_CREW_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { CREW_WAITING_MAX = 4096, CREW_WAITING_MAX_BYTES = 16 << 20 };

struct crew_waiting_item {
    struct crew_waiting_item *older, *newer;
    int fd; /* ours */
    uint64_t id;
    size_t len;
    char frame[];
};

/* All zeros: none waits. */
struct crew_waiting {
    struct crew_waiting_item *oldest, *newest;
    size_t count, bytes;
};

/* Adds a connection with the frame by which the worker gets it; a copy of `fd` is kept.
 * ERR_FAILED without memory or descriptor. */
int crew_waiting_add(struct crew_waiting *w, uint64_t id, int fd, struct str frame, struct err *e)
    ERR_CHECKED;

/* Returns true while more wait than may: the caller takes the oldest away. */
bool crew_waiting_is_over(const struct crew_waiting *w);

/* Take an item out; NULL when none waits. Free it with crew_waiting_free. */
struct crew_waiting_item *crew_waiting_take_newest(struct crew_waiting *w);
struct crew_waiting_item *crew_waiting_take_oldest(struct crew_waiting *w);

/* Closes its descriptor and frees it; NULL-safe. */
void crew_waiting_free(struct crew_waiting_item *item);

/* Frees all that wait. */
void crew_waiting_clear(struct crew_waiting *w);

#endif
