/* Bytes that workers may send: the rate, on the test's clock, and how they share it. */
#include "unit.h"

#include "base/clock.h"
#include "daemon/credits.h"
#include "rounds.h"

#define RATE INT64_C(10000000)

enum { WORKERS = 3, RUN_MS = 12000, FIRST_MS = 2000 };

struct world {
    struct loop_clock clock;
    struct loop *loop;
    struct credits *credits;
    struct rate_plan plan;
    int64_t given[WORKERS], largest, unsent;
    unsigned count;
    uint64_t again; /* those with a number below ask again at once */
};

static struct world start(int64_t rate)
{
    return (struct world){.clock = {.jumps = true, .now_ms = 1000}, .plan = {.bytes = rate}};
}

static void open_world(struct world *w)
{
    w->loop = loop_new(&w->clock, ERR_IGNORED);
    w->credits = credits_new(w->loop, &w->plan, ERR_IGNORED);
    assert_non_null(w->credits);
}

static void close_world(struct world *w)
{
    credits_free(w->credits);
    loop_free(w->loop);
}

static void give(void *owner, uint64_t id, const struct credit *credit)
{
    struct world *w = owner;

    w->given[id] += credit->bytes;
    w->unsent = credit->unsent;
    w->count++;
    if (credit->bytes > w->largest)
        w->largest = credit->bytes;
    if (id < w->again)
        credits_ask(w->credits, give, w, id);
}

static bool is_time(void *owner)
{
    return *(bool *)owner;
}

static void run(struct world *w, int64_t ms)
{
    bool is_over = false;
    struct loop_timer end = {.call = rounds_note, .owner = &is_over};

    loop_set_timer(w->loop, &end, w->clock.now_ms + ms);
    assert_int_equal(loop_run_until(w->loop, is_time, &is_over, ERR_IGNORED), 0);
}

static int64_t sum(const struct world *w)
{
    int64_t all = 0;

    for (int n = 0; n < WORKERS; n++)
        all += w->given[n];
    return all;
}

/* Workers that always ask get the rate, the same each, in small parts. */
static void test_the_rate(void **state)
{
    struct world w = start(RATE);

    (void)state;
    open_world(&w);
    w.again = WORKERS;
    for (uint64_t n = 0; n < WORKERS; n++)
        credits_ask(w.credits, give, &w, n);
    run(&w, FIRST_MS);
    for (int n = 0; n < WORKERS; n++)
        w.given[n] = 0;
    run(&w, RUN_MS - FIRST_MS);
    assert_in_range(sum(&w), RATE / 1000 * (RUN_MS - FIRST_MS) * 99 / 100,
                    RATE / 1000 * (RUN_MS - FIRST_MS) * 101 / 100);
    for (int n = 0; n < WORKERS; n++)
        assert_in_range(w.given[n], sum(&w) / WORKERS * 99 / 100, sum(&w) / WORKERS * 101 / 100);
    assert_true(w.largest <= RATE / 1000 * CREDITS_MS);
    assert_int_equal(w.unsent, RATE / 1000 * CREDITS_MS);
    close_world(&w);
}

/* The smallest rate, so that not all who ask get something at a time. */
static void test_many_at_a_small_rate(void **state)
{
    struct world w = start(RATE_PLAN_MIN_BYTES);

    (void)state;
    open_world(&w);
    w.again = WORKERS;
    for (uint64_t n = 0; n < WORKERS; n++)
        credits_ask(w.credits, give, &w, n);
    run(&w, 10000);
    assert_in_range(sum(&w), RATE_PLAN_MIN_BYTES * 10 * 95 / 100,
                    RATE_PLAN_MIN_BYTES * 10 * 105 / 100);
    for (int n = 0; n < WORKERS; n++)
        assert_in_range(w.given[n], sum(&w) / WORKERS * 95 / 100, sum(&w) / WORKERS * 105 / 100);
    close_world(&w);
}

/* Nothing runs while nobody asks; what was not asked for is not saved up. */
static void test_nobody_asks(void **state)
{
    struct world w = start(RATE);

    (void)state;
    open_world(&w);
    assert_true(rounds_nothing_is_left(w.loop, &w.clock));
    run(&w, 3600000);
    credits_ask(w.credits, give, &w, 0);
    run(&w, 1000);
    assert_int_equal(w.count, 1);
    assert_true(rounds_nothing_is_left(w.loop, &w.clock));
    run(&w, 1); /* the loop's time is the clock's again */
    w.again = 1;
    w.given[0] = 0;
    credits_ask(w.credits, give, &w, 0);
    run(&w, 1000);
    assert_in_range(w.given[0], RATE, RATE / 1000 * (1000 + CREDITS_BEHIND_MS + CREDITS_MS));
    close_world(&w);
}

/* A supervisor that had no turn for a moment makes up for it. */
static void test_late(void **state)
{
    struct world w = start(RATE);

    (void)state;
    open_world(&w);
    w.again = 1;
    credits_ask(w.credits, give, &w, 0);
    run(&w, 1000);
    w.given[0] = 0;
    w.clock.now_ms += 150;
    run(&w, 850);
    assert_in_range(w.given[0], RATE * 97 / 100, RATE * 103 / 100);
    close_world(&w);
}

/* A plan that has no limit for now. */
static void test_unlimited(void **state)
{
    struct world w = start(0);

    (void)state;
    assert_int_equal(rate_plan_add(&w.plan, STR("00:00-24:00 unlimited"), ERR_IGNORED), 0);
    w.plan.bytes = 1000000;
    open_world(&w);
    assert_int_equal(credits_rate(w.credits), 0);
    w.again = 1;
    credits_ask(w.credits, give, &w, 0);
    run(&w, 1000);
    assert_true(w.given[0] > INT64_C(1000000000));
    assert_int_equal(w.unsent, 0);
    close_world(&w);
}

static void test_too_many(void **state)
{
    struct world w = start(RATE);

    (void)state;
    open_world(&w);
    for (int n = 0; n < CREDITS_MAX_ASKING; n++)
        credits_ask(w.credits, give, &w, 0);
    assert_int_equal(w.count, 0);
    credits_ask(w.credits, give, &w, 1);
    assert_int_equal(w.given[1], 1);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rate),    cmocka_unit_test(test_many_at_a_small_rate),
        cmocka_unit_test(test_nobody_asks), cmocka_unit_test(test_late),
        cmocka_unit_test(test_unlimited),   cmocka_unit_test(test_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
