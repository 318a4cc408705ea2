/*
 * The servers' event loop: epoll over many descriptors, and timers. One per process; callbacks run
 * to completion and may add and remove anything, also themselves.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

/* Embedded in its owner. Zero before first use. */
struct loop_fd {
    int fd;
    unsigned events; /* as asked */
    /* LOOP_HANGUP: when asked for, the peer will send no more; in any case, both directions are
     * closed or the descriptor failed, which is told again and again until it is removed. */
    void (*on_ready)(struct loop_fd *source, unsigned events);
    void *owner;
    bool is_added;
};

/* Embedded in its owner. Zero before first use. Kept in a binary heap. */
struct loop_timer {
    int64_t at_ms;
    void (*on_time)(struct loop_timer *timer);
    void *owner;
    size_t heap_index; /* 0: not set */
};

struct loop *loop_new(struct err *e);
void loop_free(struct loop *loop);

/* Watches source->fd (level-triggered). `events` may be 0: then only failures are told. */
int loop_add(struct loop *loop, struct loop_fd *source, unsigned events, struct err *e);
void loop_change(struct loop *loop, struct loop_fd *source, unsigned events);
/* After this no callback for `source` comes, also not for events already fetched: its memory may be
 * freed. The caller closes the descriptor afterwards. Nothing happens when it is not added. */
void loop_remove(struct loop *loop, struct loop_fd *source);

/* Sets or moves a timer; CLOCK_NEVER_MS clears it. Timers run after the descriptors' callbacks of a
 * round: one that a descriptor's callback sets to a time not after loop_now_ms runs in that same
 * round. -1 without memory. */
int loop_set_timer(struct loop *loop, struct loop_timer *timer, int64_t at_ms);
void loop_clear_timer(struct loop *loop, struct loop_timer *timer);

/* The time of the current round: clock_now_ms() read once after each wait. */
int64_t loop_now_ms(const struct loop *loop);

/* Runs until loop_stop, which ends it after the callback in which it is called. */
int loop_run(struct loop *loop, struct err *e);
void loop_stop(struct loop *loop);

#endif
