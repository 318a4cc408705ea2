/*
 * What has to be done once at the end of a loop round: writing what the round's events produced,
 * with one system call per connection however many messages there were.
 */
#ifndef SERVER_CORK_H
#define SERVER_CORK_H

#include <stdbool.h>

#include "net/loop.h"

/* Embedded in its owner. Zero, then set `run` and `owner`. */
struct cork_item {
    void (*run)(struct cork_item *item);
    void *owner;
    struct cork_item *next;
    struct cork_item **link; /* what points at this item; NULL: not queued */
};

struct cork {
    struct loop *loop;
    struct loop_timer timer;
    struct cork_item *first;
    struct cork_item **last;
};

void cork_init(struct cork *cork, struct loop *loop);
void cork_deinit(struct cork *cork);

/* Queues the item for the end of this round; once, however often it is called. An item that is
 * queued while the queue runs is run in the same round. */
void cork_add(struct cork *cork, struct cork_item *item);

/* Takes an item out; no-op when it is not queued. */
void cork_remove(struct cork *cork, struct cork_item *item);

#endif
