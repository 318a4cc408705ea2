/* A loop round by round, and what is left in it. */
#ifndef UNIT_ROUNDS_H
#define UNIT_ROUNDS_H

#include <unistd.h>

#include "loop/loop.h"
#include "unit.h"

#define ROUNDS_FAR_MS INT64_C(31536000000)

static inline void rounds_do_nothing(void *owner)
{
    (void)owner;
}

static inline void rounds_note(void *owner)
{
    *(bool *)owner = true;
}

static inline bool rounds_are_over(void *owner)
{
    unsigned *left = owner;

    return (*left)-- == 0;
}

/* Runs so many rounds without waiting. A clock that jumps stands meanwhile. */
static inline void rounds_run(struct loop *loop, unsigned count)
{
    struct loop_call nothing = {.call = rounds_do_nothing};
    struct err e = {0};

    for (; count > 0; count--) {
        unsigned left = 1;
        loop_defer(loop, &nothing);
        assert_int_equal(loop_run_until(loop, rounds_are_over, &left, &e), 0);
    }
}

/* Runs one round in which the loop's clock jumps to the next timer, at most a year ahead. */
static inline bool rounds_jump_a_year(struct loop *loop, struct loop_clock *clock)
{
    bool is_far = false;
    struct loop_timer far = {.call = rounds_note, .owner = &is_far};
    struct err e = {0};
    unsigned left = 1;

    if (!clock->jumps)
        *clock = (struct loop_clock){.jumps = true, .now_ms = loop_now_ms(loop)};
    loop_set_timer(loop, &far, clock->now_ms + ROUNDS_FAR_MS);
    assert_int_equal(loop_run_until(loop, rounds_are_over, &left, &e), 0);
    loop_clear_timer(loop, &far);
    return is_far;
}

/* Returns true if the loop waits for nothing but descriptors, of which none is ready. `clock` is
 * the loop's, and as before afterwards. */
static inline bool rounds_nothing_is_left(struct loop *loop, struct loop_clock *clock)
{
    const struct loop_clock before = *clock;
    bool is_far = rounds_jump_a_year(loop, clock);

    *clock = before;
    return is_far;
}

/* Returns a loop that cannot watch any descriptor. */
static inline struct loop *rounds_loop_without_room(void)
{
    int next = dup(STDERR_FILENO); /* the lowest that is free: the loop's will be the same */
    struct loop *loop;

    close(next);
    loop = loop_new(NULL, ERR_IGNORED);
    assert_non_null(loop);
    assert_int_equal(close(next), 0);
    return loop;
}

#endif
