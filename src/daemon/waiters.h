/*
 * The waiters of all jobs, each with a deadline: one heap for all, a list for each job. Used by
 * jobs.c alone.
 */
#ifndef DAEMON_WAITERS_H
#define DAEMON_WAITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct waiter {
    struct waiter *previous, *next; /* in its list */
    struct waiter_list *list;
    size_t heap_index; /* from 1; 0: its deadline has passed */
    int64_t deadline_ms, asked_ms;
    size_t id_len, asker_len;
    char id[]; /* the request's, and behind it the asker's address */
};

/* A request that is to wait; the texts are copied. */
struct waiter_request {
    struct str id, asker;
    int64_t asked_ms, deadline_ms;
};

struct waiter_list {
    struct waiter *first, *last;
    void *owner;
};

/* All zeros is empty. */
struct waiters {
    struct waiter **heap; /* from index 1 */
    size_t heap_len, heap_cap;
    size_t count; /* in all lists */
};

/* Frees the heap, not the waiters. */
void waiters_deinit(struct waiters *w);

/* Adds one at the end of a list. False without memory. */
bool waiters_add(struct waiters *w, struct waiter_list *list,
                 const struct waiter_request *request);

/* Returns the address of who asked; borrowed from the waiter. */
struct str waiter_asker(const struct waiter *waiter);

/* Removes and frees. */
void waiters_remove(struct waiters *w, struct waiter *waiter);

/* Takes the earliest waiter whose deadline is at or before now_ms off the heap, but not off its
 * list; NULL when there is none. */
struct waiter *waiters_take_due(struct waiters *w, int64_t now_ms);

/* Returns the earliest deadline; CLOCK_NEVER_MS when there is no waiter. */
int64_t waiters_next_ms(const struct waiters *w);

#endif
