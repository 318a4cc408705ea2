/* Small reads have the right of way; bulk has its turn all the same. */
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/right_of_way.h"
#include "unit.h"

enum { NOW_MS = 1000000 };

static void test_bulk_alone_never_waits(void **state)
{
    struct right_of_way *way = right_of_way_new();

    (void)state;
    for (int64_t now = NOW_MS; now < NOW_MS + 1000; now++) {
        assert_int_equal(right_of_way_wait_ms(way, NOW_MS, now), 0);
        assert_int_equal(right_of_way_wait_ms(NULL, NOW_MS, now), 0);
    }
    assert_false(right_of_way_is_contested(way, NOW_MS));
    assert_false(right_of_way_is_contested(NULL, NOW_MS));
    right_of_way_take(NULL, NOW_MS);
    right_of_way_free(way);
    right_of_way_free(NULL);
}

static void test_a_small_read_passes(void **state)
{
    struct right_of_way *way = right_of_way_new();

    (void)state;
    right_of_way_take(way, NOW_MS);
    assert_int_equal(right_of_way_wait_ms(way, NOW_MS, NOW_MS), RIGHT_OF_WAY_MS);
    assert_int_equal(right_of_way_wait_ms(way, NOW_MS, NOW_MS + 5), RIGHT_OF_WAY_MS - 5);
    assert_int_equal(right_of_way_wait_ms(way, NOW_MS, NOW_MS + RIGHT_OF_WAY_MS), 0);
    assert_false(right_of_way_is_contested(way, NOW_MS + 1)); /* it may be an opening */
    right_of_way_take(way, NOW_MS + RIGHT_OF_WAY_ROW_MS);
    assert_true(right_of_way_is_contested(way, NOW_MS + RIGHT_OF_WAY_ROW_MS));
    assert_false(right_of_way_is_contested(way, NOW_MS + RIGHT_OF_WAY_ROW_MS +
                                                    RIGHT_OF_WAY_CONTESTED_MS));
    right_of_way_take(way, NOW_MS + 2 * RIGHT_OF_WAY_CONTESTED_MS);
    assert_false(right_of_way_is_contested(way, NOW_MS + 2 * RIGHT_OF_WAY_CONTESTED_MS));
    right_of_way_free(way);
}

static void test_bulk_is_not_starved(void **state)
{
    struct right_of_way *way = right_of_way_new();
    int64_t sent_ms = NOW_MS;
    int blocks = 0;

    (void)state;
    for (int64_t now = NOW_MS; now < NOW_MS + 10 * RIGHT_OF_WAY_MOST_MS; now++) {
        right_of_way_take(way, now);
        if (right_of_way_wait_ms(way, sent_ms, now) > 0)
            continue;
        sent_ms = now;
        blocks++;
    }
    assert_in_range(blocks, 9, 10);
    right_of_way_free(way);
}

static void test_another_process_takes_it(void **state)
{
    struct right_of_way *way = right_of_way_new();
    pid_t pid = fork();
    int status = -1;

    (void)state;
    if (pid == 0) {
        right_of_way_take(way, NOW_MS);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(right_of_way_wait_ms(way, NOW_MS, NOW_MS), RIGHT_OF_WAY_MS);
    right_of_way_free(way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulk_alone_never_waits),
        cmocka_unit_test(test_a_small_read_passes),
        cmocka_unit_test(test_bulk_is_not_starved),
        cmocka_unit_test(test_another_process_takes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
