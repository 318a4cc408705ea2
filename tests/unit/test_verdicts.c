/* Verdicts on roots outlive the process; one that was damaged on the disk is none. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/verdicts.h"

static char path[64];
static const unsigned char one[SHA1_SIZE] = {1, 1, 1, 1, 7}, two[SHA1_SIZE] = {2, 2, 2, 2, 9};
static const unsigned char right[SHA256_SIZE] = {10, 5}, wrong[SHA256_SIZE] = {11, 6},
                           other[SHA256_SIZE] = {12, 7};

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/test_verdicts.XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void check(const char *name, const struct verdicts *v)
{
    unit_true(name, verdicts_find(v, one, right) == 1);
    unit_true(name, verdicts_find(v, one, other) == -1); /* another one is proven */
    unit_true(name, verdicts_find(v, two, wrong) == -1);
    unit_true(name, verdicts_find(v, two, right) == 0);
    unit_true(name, verdicts_find(v, (const unsigned char[SHA1_SIZE]){0},
                                  (const unsigned char[SHA256_SIZE]){0}) == 0);
}

static struct verdicts *fill(const char *at)
{
    struct verdicts *v = verdicts_open(at);

    assert_non_null(v);
    verdicts_put(v, one, right, true);
    verdicts_put(v, two, wrong, false);
    return v;
}

static void test_they_stay(void **state)
{
    struct verdicts *v = fill(path);

    (void)state;
    check("at once", v);
    verdicts_close(v);
    v = verdicts_open(path);
    check("again", v);
    verdicts_close(v);
}

static void test_without_a_file_they_stay_as_long_as_the_process(void **state)
{
    struct verdicts *v = fill(NULL);

    (void)state;
    check("none", v);
    verdicts_close(v);
    v = fill("/nowhere/at/all");
    check("cannot be made", v);
    verdicts_close(v);
    verdicts_close(NULL);
}

static void test_damaged_ones_are_none(void **state)
{
    const off_t end = 2 * VERDICTS_SLOTS * 64;

    (void)state;
    for (off_t flipped = 0; flipped < end; flipped += 64 * VERDICTS_SLOTS) {
        verdicts_close(fill(path));
        int fd = open(path, O_RDWR);
        char bytes[64];
        off_t at = flipped;
        do /* the record of that kind */
            assert_int_equal(pread(fd, bytes, sizeof bytes, at), sizeof bytes);
        while (bytes[0] == 0 && (at += 64) < end);
        bytes[30] ^= 1;
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, at), sizeof bytes);
        close(fd);
        struct verdicts *v = verdicts_open(path);
        assert_true(verdicts_find(v, one, right) != 1 || verdicts_find(v, two, wrong) == 0);
        assert_true(verdicts_find(v, one, right) == 1 || verdicts_find(v, one, other) == 0);
        verdicts_close(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_they_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_file_they_stay_as_long_as_the_process,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_ones_are_none, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
