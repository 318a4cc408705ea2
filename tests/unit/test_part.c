#include "zone/part.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "unit.h"

#define HELLO "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" /* of "hello" */

static char folder[32], final[64], stable[128];

/* What the callbacks were told. */
static struct {
    char temporary[128];
    bool is_guarded;
    int64_t bytes;
} told;

static void on_temporary(void *ctx, const char *temporary)
{
    (void)ctx;
    told.is_guarded = temporary != NULL;
    snprintf(told.temporary, sizeof told.temporary, "%s", temporary != NULL ? temporary : "");
}

static void on_bytes(void *ctx, int64_t bytes)
{
    (void)ctx;
    told.bytes = bytes;
}

static const struct transfer usual = {.uri.hash = HELLO, .on_temporary = on_temporary};
static const struct part_target to_final = {
    .final = final, .shown = "out", .size = 5, .on_bytes = on_bytes};

static void open_part(struct part *p)
{
    struct err e = {0};

    if (part_open(p, &usual, &to_final, &e) != 0)
        fail_msg("%s", e.msg);
}

static void add(struct part *p, const char *text)
{
    struct err e = {0};

    if (part_add(p, str_of(text), &e) != 0)
        fail_msg("%s", e.msg);
}

static int count_files(void)
{
    DIR *dir = opendir(folder);
    int count = 0;

    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void expect_file(const char *path, const char *want)
{
    char text[100];
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        fail_msg("no %s", path);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(n >= 0);
    text[n] = '\0';
    unit_equal(path, text, want);
}

static void goes_on(void **state)
{
    char found[SHA1_HEX + 1];
    struct part p;
    struct err e;

    (void)state;
    open_part(&p);
    unit_equal("worth nothing yet", told.temporary, stable);
    add(&p, "hel");
    assert_false(told.is_guarded);
    assert_false(part_is_right(&p, found));
    part_close(&p);
    expect_file(stable, "hel");

    told.bytes = 0;
    open_part(&p);
    assert_false(told.is_guarded);
    assert_int_equal(told.bytes, 3);
    assert_int_equal(p.bytes, 3);
    add(&p, "lo");
    assert_true(part_is_right(&p, found));
    unit_equal("hash", found, HELLO);
    assert_int_equal(part_publish(&p, &e), 0);
    part_close(&p);
    expect_file(final, "hello");
    assert_int_equal(count_files(), 1);
}

static void what_is_worth_nothing_goes(void **state)
{
    struct part p;

    (void)state;
    open_part(&p);
    part_close(&p);
    assert_int_equal(count_files(), 0);
    open_part(&p);
    add(&p, "hel");
    p.is_spoilt = true;
    part_close(&p);
    assert_int_equal(count_files(), 0);
    assert_false(told.is_guarded);
}

static void too_much_is_refused(void **state)
{
    struct part p;
    struct err e;

    (void)state;
    open_part(&p);
    add(&p, "hel");
    assert_int_equal(part_add(&p, STR("loo"), &e), -1);
    assert_int_equal(e.code, ERR_CHANGED);
    unit_equal("words", e.msg, "more than the 5 bytes that it should have");
    part_close(&p);
    expect_file(stable, "hel");
}

static void limits(void **state)
{
    static const struct {
        const char *name;
        int64_t size, max, announced, limit; /* -1: refused */
        bool is_here;
    } cases[] = {
        {"of the zone", 5, 0, 9, 5, false},
        {"of the bucket", -1, 0, 9, 9, false},
        {"a large one of the bucket", -1, 0, 6000000000, 6000000000, false},
        {"of nobody", -1, 0, -1, 5000000000, false},
        {"of the user", -1, 7, -1, 7, false},
        {"of the user, larger", -1, 6000000000, -1, 6000000000, false},
        {"of the zone, below the user's", 5, 7, -1, 5, false},
        {"of the bucket, above the user's", -1, 7, 9, -1, false},
        {"of a file that is here", -1, 7, -1, INT64_MAX, true},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct transfer transfer = usual;
        struct part_target target = to_final;
        struct part p;
        struct err e = {0};
        target.size = cases[i].size;
        target.is_here = cases[i].is_here;
        transfer.max_bytes = cases[i].max;
        assert_int_equal(part_open(&p, &transfer, &target, &e), 0);
        int result = part_announce(&p, cases[i].announced, &e);
        unit_true(cases[i].name, result == (cases[i].limit < 0 ? -1 : 0));
        unit_true(cases[i].name, result != 0 || p.limit == cases[i].limit);
        unit_true(cases[i].name, result == 0 || e.code == ERR_TOO_LARGE);
        part_close(&p);
    }
}

static void only_one_at_a_time(void **state)
{
    struct part first, second, third;
    struct err e;

    (void)state;
    open_part(&first);
    add(&first, "hel");
    open_part(&second);
    assert_false(second.is_kept);
    assert_int_equal(second.bytes, 0);
    unit_equal("its own", told.temporary, buf_cstr(&second.path));
    add(&second, "hello");
    assert_true(told.is_guarded); /* until the end: no later run finds it */
    expect_file(stable, "hel");
    assert_int_equal(part_publish(&second, &e), 0);
    part_close(&second);
    expect_file(final, "hello");

    add(&first, "lo");
    assert_int_equal(part_publish(&first, &e), 0);
    open_part(&third); /* the first has still its lock, on the file that is published */
    assert_true(third.is_kept);
    assert_int_equal(third.bytes, 0);
    part_close(&first);
    part_close(&third);
    assert_int_equal(count_files(), 1);
}

/* Of a large file a child hashes what is added; without it, what is in the file is hashed. */
static void a_lost_hasher(void **state)
{
    enum { SIZE = 9 << 20, PIECE = 300000 };
    char *data = calloc(1, SIZE), found[SHA1_HEX + 1], want[SHA1_HEX + 1];
    unsigned char digest[SHA1_SIZE];
    struct part_target target = to_final;
    struct part p;
    struct err e;

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + (i >> 8) * 13);
    sha1_of((struct str){data, SIZE}, digest);
    hex_encode(digest, SHA1_SIZE, want);
    target.size = SIZE;
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(part_open(&p, &usual, &target, &e), 0);
        for (size_t at = 0; at < SIZE; at += PIECE) {
            if (pass == 1 && at == 10 * PIECE && p.hasher != NULL)
                assert_int_equal(kill(unit_child(), SIGKILL), 0);
            assert_int_equal(
                part_add(&p, str_slice((struct str){data, SIZE}, at, at + PIECE), &e), 0);
        }
        assert_false(part_is_right(&p, found)); /* it is another file's part */
        unit_equal(pass == 0 ? "hashed beside" : "hashed again", found, want);
        p.is_spoilt = true;
        part_close(&p);
    }
    free(data);
}

/* Somebody who has the old file open writes to nothing that will be published. */
static void restart_takes_a_new_file(void **state)
{
    struct part p, other;
    char found[SHA1_HEX + 1];
    struct stat before, after;
    struct err e;
    int old;

    (void)state;
    open_part(&p);
    add(&p, "wrong");
    old = open(stable, O_RDWR);
    assert_int_equal(fstat(old, &before), 0);
    assert_int_equal(part_restart(&p, &e), 0);
    assert_true(p.is_kept);
    assert_int_equal(told.bytes, 0);
    unit_equal("worth nothing again", told.temporary, stable);
    assert_int_equal(stat(stable, &after), 0);
    assert_true(before.st_ino != after.st_ino);
    assert_int_equal(pwrite(old, "WRONG", 5, 0), 5);
    open_part(&other);
    assert_false(other.is_kept); /* the new one is locked too */
    part_close(&other);
    add(&p, "hello");
    assert_true(part_is_right(&p, found));
    assert_int_equal(part_publish(&p, &e), 0);
    part_close(&p);
    close(old);
    expect_file(final, "hello");
}

static void a_folder_that_is_not_there(void **state)
{
    struct part_target target = to_final;
    struct part p;
    struct err e;

    (void)state;
    target.final = "/nonexistent/out";
    assert_int_equal(part_open(&p, &usual, &target, &e), -1);
    assert_int_equal(e.code, ERR_FAILED);
    assert_true(strstr(e.msg, "/nonexistent/out") != NULL);
    part_close(&p);
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_part.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(final, sizeof final, "%s/out", folder);
    snprintf(stable, sizeof stable, "%s/%s.part", folder, HELLO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(final);
    unlink(stable);
    return rmdir(folder);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(goes_on),
        IN_FOLDER(what_is_worth_nothing_goes),
        IN_FOLDER(too_much_is_refused),
        IN_FOLDER(limits),
        IN_FOLDER(only_one_at_a_time),
        IN_FOLDER(a_lost_hasher),
        IN_FOLDER(restart_takes_a_new_file),
        IN_FOLDER(a_folder_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
