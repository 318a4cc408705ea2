/* A loop and a machine's owner in it that only notes that it was woken, so that a test steps the
 * machine itself. */
#ifndef UNIT_WAKER_H
#define UNIT_WAKER_H

#include "base/clock.h"
#include "loop/loop.h"
#include "rounds.h"
#include "unit.h"

enum { WAKER_PATIENCE_MS = 20000 };

struct waker {
    struct loop_clock clock; /* the real one */
    struct loop *loop;
    struct loop_timer patience;
    bool is_woken, is_late;
    unsigned wakes, rounds;
};

static inline void waker_call(void *owner)
{
    struct waker *w = owner;

    w->is_woken = true;
    w->wakes++;
}

static inline void waker_on_patience(void *owner)
{
    ((struct waker *)owner)->is_late = true;
}

/* Stays where it is until waker_close. */
static inline void waker_open(struct waker *w)
{
    struct err e = {0};

    *w = (struct waker){.loop = NULL};
    w->loop = loop_new(&w->clock, &e);
    assert_non_null(w->loop);
    w->patience = (struct loop_timer){.call = waker_on_patience, .owner = w};
}

static inline struct loop_wake waker_of(struct waker *w)
{
    return (struct loop_wake){w->loop, waker_call, w};
}

static inline bool waker_is_done(void *owner)
{
    struct waker *w = owner;

    w->rounds++;
    return w->is_woken || w->is_late;
}

/* Runs the loop until the machine is to be stepped, at most so long; false: it was not. */
static inline bool waker_wait_ms(struct waker *w, int64_t at_most_ms)
{
    struct err e = {0};

    w->is_woken = w->is_late = false;
    loop_set_timer(w->loop, &w->patience, clock_now_ms() + at_most_ms);
    assert_int_equal(loop_run_until(w->loop, waker_is_done, w, &e), 0);
    loop_clear_timer(w->loop, &w->patience);
    return w->is_woken;
}

static inline void waker_wait(struct waker *w)
{
    assert_true(waker_wait_ms(w, WAKER_PATIENCE_MS));
}

/* What the machine left in the loop would be found by the sanitizer. */
static inline void waker_close(struct waker *w)
{
    unit_true("nothing is left in the loop", rounds_nothing_is_left(w->loop, &w->clock));
    loop_free(w->loop);
}

/* For test programs in which every test has one of its own. */
static struct waker waker;

static inline int waker_setup(void **state)
{
    (void)state;
    waker_open(&waker);
    return 0;
}

static inline int waker_teardown(void **state)
{
    (void)state;
    waker_close(&waker);
    return 0;
}

#define WAKER_TEST(test) cmocka_unit_test_setup_teardown(test, waker_setup, waker_teardown)

#endif
