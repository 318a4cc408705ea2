/* The SHA-1 of a file that is sent, hashed here or in a child that is never waited for. */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>

#include "proxy/range_judge.h"

enum { LARGE = RANGE_JUDGE_MIN_CHILD_BYTES + 100003, PIECE = 262144 };

static char *data;
static char right[SHA1_HEX + 1];
static struct loop *loop;
static struct range_judges judges;
static bool is_ready;

static int set_up(void **state)
{
    struct err e = {0};
    struct sha1 h;

    (void)state;
    if (data == NULL)
        data = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = (char)(i * 7 + (i >> 8) * 13 + (i >> 17));
    sha1_init(&h);
    sha1_update(&h, data, LARGE);
    sha1_final_hex(&h, right);
    loop = loop_new(NULL, &e);
    judges = (struct range_judges){.loop = loop};
    return loop == NULL;
}

static int tear_down(void **state)
{
    range_judges_deinit(&judges);
    loop_free(loop);
    return unit_wait_for_children(state);
}

static void on_ready(void *owner)
{
    (void)owner;
    is_ready = true;
}

static bool is_it_ready(void *owner)
{
    (void)owner;
    return is_ready;
}

static void wait_until_ready(void)
{
    struct err e = {0};

    assert_int_equal(loop_run_until(loop, is_it_ready, NULL, &e), 0);
    is_ready = false;
}

/* Gives all of it as there is room, and waits for the verdict. */
static enum range_verdict judge_all(struct range_judge *j, const char *sha1)
{
    enum range_verdict verdict;
    size_t at = 0;

    while (at < LARGE) {
        size_t room = range_judge_room(j), len = LARGE - at < PIECE ? LARGE - at : PIECE;
        if (room == 0) {
            wait_until_ready();
            continue;
        }
        len = len < room ? len : room;
        range_judge_add(j, (struct str){data + at, len});
        at += len;
    }
    while ((verdict = range_judge_decide(j, sha1)) == RANGE_JUDGE_WAIT)
        wait_until_ready();
    return verdict;
}

static void a_large_file_is_judged_in_a_child(void **state)
{
    struct range_judge first, second;

    (void)state;
    range_judge_begin(&first, &judges, LARGE, on_ready, NULL);
    if (first.hasher == NULL)
        skip(); /* one processor */
    range_judge_begin(&second, &judges, LARGE, on_ready, NULL);
    assert_null(second.hasher); /* that is enough of them */
    assert_true(range_judge_room(&second) == SIZE_MAX);
    assert_int_equal(judge_all(&first, right), RANGE_JUDGE_RIGHT);
    range_judge_end(&first);
    assert_int_equal(judge_all(&second, right), RANGE_JUDGE_RIGHT);
    range_judge_end(&second);
    data[LARGE / 2] ^= 1;
    range_judge_begin(&first, &judges, LARGE, on_ready, NULL);
    assert_non_null(first.hasher);
    assert_int_equal(judge_all(&first, right), RANGE_JUDGE_WRONG);
    range_judge_end(&first);
    range_judge_end(&first);
}

static void a_small_one_here(void **state)
{
    struct range_judge j;

    (void)state;
    range_judge_begin(&j, &judges, RANGE_JUDGE_MIN_CHILD_BYTES - 1, on_ready, NULL);
    assert_null(j.hasher);
    assert_int_equal(judge_all(&j, right), RANGE_JUDGE_RIGHT);
    range_judge_end(&j);
    range_judge_begin(&j, &judges, RANGE_JUDGE_MIN_CHILD_BYTES - 1, on_ready, NULL);
    assert_int_equal(judge_all(&j, "0000000000000000000000000000000000000000"),
                     RANGE_JUDGE_WRONG);
    range_judge_end(&j);
}

/* Its reader is not held up by that, but is cut in the end. */
static void a_child_that_is_lost_leaves_no_verdict(void **state)
{
    struct range_judge j;

    (void)state;
    range_judge_begin(&j, &judges, LARGE, on_ready, NULL);
    if (j.hasher == NULL)
        skip();
    range_judge_add(&j, (struct str){data, PIECE});
    assert_int_equal(kill(unit_child(), SIGKILL), 0);
    assert_int_equal(judge_all(&j, right), RANGE_JUDGE_LOST);
    range_judge_end(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_large_file_is_judged_in_a_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_small_one_here, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_that_is_lost_leaves_no_verdict, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(data);
    return failed;
}
