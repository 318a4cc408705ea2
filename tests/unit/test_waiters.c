/* The heap of deadlines. */
#include "unit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "daemon/waiters.h"

/* The heap against a plain search, with removals in the middle. */
static void test_waiters_heap(void **state)
{
    struct waiters w = {0};
    struct waiter_list lists[3] = {{0}};
    uint32_t random = 1;
    int64_t last = 0;
    size_t taken = 0;

    (void)state;
    assert_int_equal(waiters_next_ms(&w), CLOCK_NEVER_MS);
    for (int i = 0; i < 2000; i++) {
        random = random * 1664525 + 1013904223;
        assert_true(waiters_add(
            &w, &lists[random >> 8 & 1],
            &(struct waiter_request){.id = STR("id"), .deadline_ms = (random >> 16) % 997}));
        if (i % 3 == 0)
            waiters_remove(&w, lists[i & 1].first != NULL ? lists[i & 1].first
                                                          : lists[!(i & 1)].last);
    }
    size_t left = w.count;
    for (struct waiter *due; (due = waiters_take_due(&w, 500)) != NULL; taken++) {
        assert_true(due->deadline_ms >= last && due->deadline_ms <= 500);
        last = due->deadline_ms;
        waiters_remove(&w, due);
    }
    assert_true(waiters_next_ms(&w) > 500 && taken > 100);
    for (int i = 0; i < 2; i++)
        while (lists[i].first != NULL) {
            assert_true(lists[i].first->deadline_ms > 500);
            waiters_remove(&w, lists[i].first);
            taken++;
        }
    assert_int_equal(taken, left);
    assert_int_equal(w.count, 0);
    waiters_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_waiters_heap)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
