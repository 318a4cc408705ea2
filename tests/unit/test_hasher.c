/* The child that hashes beside its parent: it has the hash that the parent would have, and its end
 * is noticed. */
#include <signal.h>
#include <stdlib.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hashes_what_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_child_is_noticed, setup, teardown),
        cmocka_unit_test(not_for_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
