/* The child that hashes beside its parent: it has the hash that the parent would have, and its end
 * is noticed. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "proc/child.h"
#include "proc/cpu_budget.h"
#include "proc/hasher.h"
#include "unit.h"

enum { SIZE = 9 << 20 };

static char *data;

static int setup(void **state)
{
    (void)state;
    data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + (i >> 8) * 13 + (i >> 17));
    return 0;
}

static int teardown(void **state)
{
    free(data);
    return unit_wait_for_children(state);
}

static struct hasher *start(const struct sha1 *begun)
{
    struct hasher *h = hasher_new(begun, SIZE);

    if (h == NULL)
        skip(); /* one processor */
    return h;
}

static void expect_state(const char *name, const struct sha1 *got, struct sha1 want)
{
    struct sha1 copy = *got;
    char a[SHA1_HEX + 1], b[SHA1_HEX + 1];

    sha1_final_hex(&copy, a);
    sha1_final_hex(&want, b);
    unit_equal(name, a, b);
}

/* Of every kind of piece, from the middle of a message on; asked for in between. */
static void hashes_what_comes(void **state)
{
    static const size_t steps[] = {100003, 1, 262144, 262145, 3000000, 65536};
    struct sha1 want, got;
    size_t at = 10, i = 0;

    (void)state;
    sha1_init(&want);
    sha1_update(&want, data, at);
    struct hasher *h = start(&want);
    for (; at < SIZE; i++) {
        size_t len = steps[i % UNIT_COUNT(steps)];
        const struct str piece = {data + at, len < SIZE - at ? len : SIZE - at};
        assert_true(hasher_add(h, piece));
        sha1_update(&want, piece.p, piece.len);
        at += piece.len;
        if (i % 3 == 1) {
            assert_true(hasher_state(h, &got));
            expect_state("in between", &got, want);
        }
    }
    assert_true(hasher_state(h, &got));
    expect_state("in the end", &got, want);
    hasher_free(h);
}

/* Pieces of any size that are put into the ring itself, more than it has. */
static void hashes_its_own_memory(void **state)
{
    static const size_t steps[] = {HASHER_PIECE_BYTES, 1, 65536, HASHER_PIECE_BYTES - 1};
    struct sha1 want, got;
    size_t at = 0;

    (void)state;
    sha1_init(&want);
    struct hasher *h = start(&want);
    for (size_t i = 0; i < 5 * HASHER_PIECES; i++) {
        const size_t len = steps[i % UNIT_COUNT(steps)];
        char *const piece = hasher_piece(h);
        assert_non_null(piece);
        memcpy(piece, data + at, len);
        assert_true(hasher_give(h, len));
        sha1_update(&want, data + at, len);
        at += len;
    }
    assert_true(hasher_state(h, &got));
    expect_state("in the end", &got, want);
    hasher_free(h);
}

static void not_for_little(void **state)
{
    struct sha1 begun;

    (void)state;
    sha1_init(&begun);
    assert_null(hasher_new(&begun, HASHER_MIN_BYTES - 1));
    hasher_free(NULL);
}

static void a_killed_child_is_noticed(void **state)
{
    struct sha1 begun, got;

    (void)state;
    sha1_init(&begun);
    struct hasher *h = start(&begun);
    assert_true(hasher_add(h, (struct str){data, 1000}));
    assert_int_equal(kill(unit_child(), SIGKILL), 0);
    assert_false(hasher_state(h, &got));
    assert_false(hasher_add(h, (struct str){data, 1000}));
    assert_false(hasher_state(h, &got));
    hasher_free(h);
}

static void the_cause_of_its_end_is_named(void **state)
{
    char words[CHILD_MAX_WORDS_BYTES];
    struct sha1 begun, got;

    (void)state;
    sha1_init(&begun);
    struct hasher *h = start(&begun);
    assert_int_equal(kill(unit_child(), SIGXCPU), 0);
    assert_true(!hasher_add(h, (struct str){data, 1000}) || !hasher_state(h, &got));
    hasher_put_end(h, words);
    unit_equal("words", words,
               "killed by SIGXCPU: the limit of processor time of this host (ulimit -t)");
    hasher_free(h);
}

static int64_t used_ms(int who)
{
    struct rusage used;

    getrusage(who, &used);
    return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

/* While it lives, and when it was waited for. */
static void its_time_is_of_its_parents_budget(void **state)
{
    enum { LEAST_MS = 30, ROUNDS = 24 };
    const int64_t most_ms = used_ms(RUSAGE_CHILDREN) + LEAST_MS; /* with the tests before */
    struct sha1 begun, got;

    (void)state;
    assert_false(cpu_budget_is_spent(used_ms(RUSAGE_SELF) + most_ms));
    sha1_init(&begun);
    struct hasher *h = start(&begun);
    for (int i = 0; i < ROUNDS; i++)
        assert_true(hasher_add(h, (struct str){data, SIZE}));
    assert_true(hasher_state(h, &got));
    assert_true(cpu_budget_is_spent(used_ms(RUSAGE_SELF) + most_ms));
    hasher_free(h);
    assert_int_equal(unit_wait_for_children(NULL), 0);
    assert_true(cpu_budget_is_spent(used_ms(RUSAGE_SELF) + most_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hashes_what_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(hashes_its_own_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_child_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cause_of_its_end_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(its_time_is_of_its_parents_budget, setup, teardown),
        cmocka_unit_test(not_for_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
