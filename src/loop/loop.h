/*
 * The one way to wait for more than one thing: descriptors (epoll), timers, and calls deferred to
 * the end of the round. Callbacks run to completion, must not block, and may add and remove
 * anything, also themselves.
 *
 *     a round:  wait ──► descriptors that are ready ──► timers that are due ──► deferred calls
 *
 * A loop belongs to the process that made it: a child makes its own, and what it removes from its
 * parent's loop stays there for the parent. A descriptor is removed before it is closed, always. A
 * struct with members of a loop is never copied, moved or cleared while they are registered.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/heap.h"

struct loop;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

/* Embedded in its owner. Zero before first use. */
struct loop_fd {
    int fd;
    /* Ready as in `ready`. LOOP_HANGUP: when wanted, the peer will send no more; in any
     * case, both directions are closed or the descriptor failed, which is reported again and again
     * until it is removed. */
    void (*call)(void *owner);
    void *owner;
    unsigned ready;
    unsigned wanted; /* the rest is the loop's */
    bool is_added;
    bool is_file;  /* epoll refuses it: a regular file, /dev/null; always ready */
    bool is_stale; /* epoll refused its last change, which is tried again */
    struct loop_fd *next_file; /* of these or of those */
};

/* Embedded in its owner. Zero before first use. */
struct loop_timer {
    struct heap_node node; /* the key is the time */
    void (*call)(void *owner);
    void *owner;
};

/* A call at the end of the round. Embedded in its owner. Zero before first use. */
struct loop_call {
    void (*call)(void *owner);
    void *owner;
    struct loop_call *next;
    struct loop_call **link; /* the pointer to this call; NULL: not deferred */
    uint64_t round;          /* in which it ran last */
};

/* The surroundings of a step machine: the loop that it waits in, and the call that it makes when
 * its owner is to step it again; never from within a start or a step. */
struct loop_wake {
    struct loop *loop;
    void (*call)(void *owner);
    void *owner;
};

/* Where a loop has the time from; all zeros: clock_now_ms(). With `jumps` the time is `now_ms`,
 * which is set to the next timer's whenever nothing else is ready: for tests. */
struct loop_clock {
    bool jumps;
    int64_t now_ms;
};

/* Makes a loop. `clock` is borrowed for its life; NULL: the real clock. Returns NULL without memory
 * or descriptor. */
struct loop *loop_new(struct loop_clock *clock, struct err *e);

/* Frees the loop; closes no descriptor but its own. NULL-safe. */
void loop_free(struct loop *loop);

/* Watches source->fd (level-triggered). `wanted` may be 0: then only failures are reported. */
int loop_add(struct loop *loop, struct loop_fd *source, unsigned wanted, struct err *e);
/* Cannot fail: a change that the kernel has no memory for is tried again until it has. */
void loop_change(struct loop *loop, struct loop_fd *source, unsigned wanted);

/* Removes a descriptor. After this no callback for `source` comes, also not for events already
 * fetched: its memory may be freed. The caller closes the descriptor afterwards. Does nothing when
 * it is not added. */
void loop_remove(struct loop *loop, struct loop_fd *source);

/* Sets or moves a timer; CLOCK_NEVER_MS clears it. A timer that a descriptor's callback sets to a
 * time not after loop_now_ms runs in the same round; a timer that a timer or a deferred call sets
 * so runs in the next. Timers of one time run in no particular order. */
void loop_set_timer(struct loop *loop, struct loop_timer *timer, int64_t at_ms);
void loop_clear_timer(struct loop *loop, struct loop_timer *timer);

/* Returns the time that the timer is set to; CLOCK_NEVER_MS when it is not set. */
int64_t loop_timer_at_ms(const struct loop_timer *timer);

/* Defers a call to the end of this round (outside of one: of the next); once, however often this
 * is called. Deferred calls run in the order of registration; one that is deferred by another runs
 * in the same round, unless it ran in it already: then in the next. */
void loop_defer(struct loop *loop, struct loop_call *call);

/* Takes a call out. Does nothing when it is not deferred. */
void loop_undefer(struct loop *loop, struct loop_call *call);

/* Calls `call` at the start of every round, when its time is known and before any descriptor: for a
 * process that may have slept longer than it thinks. NULL: nothing. It may not free the loop. */
void loop_set_guard(struct loop *loop, void (*call)(void *owner), void *owner);

/* Returns the time of the current round: the clock is read once after each wait. */
int64_t loop_now_ms(const struct loop *loop);

/* Runs until loop_stop, which ends it after the callback in which it is called. */
int loop_run(struct loop *loop, struct err *e);
void loop_stop(struct loop *loop);

/* Runs whole rounds until is_done(owner), which is asked first; loop_stop does not end it. How a
 * command blocks: inside of a callback of any loop it fails, and aborts in sanitized builds. */
int loop_run_until(struct loop *loop, bool (*is_done)(void *owner), void *owner, struct err *e);

/* Limits the callbacks of this loop, in sanitized builds: one that takes longer aborts the process,
 * which names it. 0: no limit. Elsewhere nothing is measured. */
void loop_limit_calls(struct loop *loop, int64_t limit_ms);

/* Makes the loops that a child inherited its parent's: called in the child after fork(2). */
void loop_after_fork(void);

#endif
