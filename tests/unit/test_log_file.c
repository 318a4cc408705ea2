/* A log in a file: by size, moved, deleted, on a full disk, shared with another process. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log_file.h"

static char folder[64], path[96];

static const char *old_path(unsigned number)
{
    static char text[128];

    snprintf(text, sizeof text, "%s.%u", path, number);
    return text;
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_log_file.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    for (unsigned i = 1; i < 9; i++)
        unlink(old_path(i));
    return rmdir(folder);
}

static void expect_file(const char *name, const char *at, const char *content)
{
    struct buf text = {0};
    struct err e = {0};

    if (content == NULL) {
        if (access(at, F_OK) == 0)
            fail_msg("%s: %s is there", name, at);
        return;
    }
    if (fs_read_file(at, 4096, &text, &e) != 0)
        fail_msg("%s: %s", name, e.msg);
    unit_equal(name, buf_cstr(&text), content);
    buf_free(&text);
}

static struct log_file opened(int64_t max_bytes, unsigned kept)
{
    struct log_file file = LOG_FILE_CLOSED;
    const struct log_file_options options = {.path = path, .max_bytes = max_bytes, .kept = kept};
    struct err e = {0};

    if (log_file_open(&file, &options, &e) != 0)
        fail_msg("%s", e.msg);
    return file;
}

static void append_line(struct log_file *file, const char *line)
{
    struct err e = {0};

    if (log_file_keep(file, strlen(line), &e) != 0)
        fail_msg("%s", e.msg);
    assert_true(log_file_write(file, line, strlen(line)));
}

/* Every line is whole in one file; only `kept` old ones stay. */
static void test_rotation(void **state)
{
    struct log_file file = opened(10, 2);
    struct stat st;

    (void)state;
    append_line(&file, "one\n");
    append_line(&file, "two\n");
    append_line(&file, "three\n");
    append_line(&file, "longer than a file\n");
    append_line(&file, "four\n");
    expect_file("newest", path, "four\n");
    expect_file("old", old_path(1), "longer than a file\n");
    expect_file("oldest", old_path(2), "three\n");
    expect_file("gone", old_path(3), NULL);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    log_file_close(&file);
    file = opened(10, 2); /* the next daemon goes on in it */
    append_line(&file, "five\n");
    append_line(&file, "six\n");
    expect_file("next daemon", path, "six\n");
    expect_file("before", old_path(1), "four\nfive\n");
    log_file_close(&file);
}

static void test_nothing_kept(void **state)
{
    struct log_file file = opened(10, 0);

    (void)state;
    append_line(&file, "one line\n");
    append_line(&file, "two\n");
    expect_file("newest", path, "two\n");
    expect_file("nothing old", old_path(1), NULL);
    log_file_close(&file);
}

static void test_without_limit(void **state)
{
    struct log_file file = opened(0, 5);

    (void)state;
    for (int i = 0; i < 1000; i++)
        append_line(&file, "a line\n");
    expect_file("nothing old", old_path(1), NULL);
    assert_int_equal(file.bytes, 7000);
    log_file_close(&file);
}

/* logrotate renames it, somebody deletes it: lines go where the path says. */
static void test_moved_and_deleted(void **state)
{
    struct log_file file = opened(1000, 1);

    (void)state;
    append_line(&file, "one\n");
    assert_int_equal(rename(path, old_path(4)), 0);
    file.look_at_ms = 0;
    append_line(&file, "two\n");
    expect_file("moved", old_path(4), "one\n");
    expect_file("anew", path, "two\n");
    assert_int_equal(unlink(path), 0);
    file.look_at_ms = 0;
    append_line(&file, "three\n");
    expect_file("after deletion", path, "three\n");
    log_file_close(&file);
}

/* Two daemons may be given one log: nobody renames the file that the other one has just begun. */
static void test_shared(void **state)
{
    struct log_file one = opened(12, 3), two = opened(12, 3);

    (void)state;
    append_line(&one, "one 1\n");
    append_line(&two, "two 1\n");
    one.look_at_ms = two.look_at_ms = 0; /* a second later */
    append_line(&one, "one 2\n");
    append_line(&two, "two 2\n");
    expect_file("newest", path, "one 2\ntwo 2\n");
    expect_file("old", old_path(1), "one 1\ntwo 1\n");
    expect_file("no more", old_path(2), NULL);
    log_file_close(&one);
    log_file_close(&two);
}

/* A folder with the name of an old file: the log goes on, and it is not tried for each line. */
static void test_cannot_rotate(void **state)
{
    struct log_file file = opened(10, 1);
    struct err e = {0};

    (void)state;
    append_line(&file, "one line\n");
    assert_int_equal(mkdir(old_path(1), 0700), 0);
    assert_int_equal(log_file_keep(&file, 4, &e), -1);
    assert_non_null(strstr(e.msg, path));
    assert_true(log_file_write(&file, "two\n", 4));
    assert_int_equal(rmdir(old_path(1)), 0);
    append_line(&file, "three\n");
    expect_file("later", path, "three\n");
    expect_file("all of it", old_path(1), "one line\ntwo\n");
    log_file_close(&file);
}

/* What was cut gets an end before the next line. */
static void test_torn(void **state)
{
    struct log_file file = opened(1000, 1);

    (void)state;
    append_line(&file, "half a li");
    file.is_torn = true;
    append_line(&file, "whole\n");
    expect_file("torn", path, "half a li\nwhole\n");
    log_file_close(&file);
}

static void test_full_disk(void **state)
{
    struct log_file file = LOG_FILE_CLOSED;
    struct err e = {0};

    const struct log_file_options options = {.path = "/dev/full", .max_bytes = 10, .kept = 1};

    (void)state;
    assert_int_equal(log_file_open(&file, &options, &e), 0);
    assert_int_equal(log_file_keep(&file, 100, &e), 0);
    assert_false(log_file_write(&file, "a line\n", 7));
    assert_false(file.is_torn);
    log_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)
        TEST(test_rotation),  TEST(test_nothing_kept),  TEST(test_without_limit),
        TEST(test_shared),    TEST(test_cannot_rotate), TEST(test_moved_and_deleted),
        TEST(test_torn),      TEST(test_full_disk),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
