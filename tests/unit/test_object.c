/* What is known of objects is exact, survives torn records and other processes; a damaged object is
 * removed, a good one that takes its place at that moment is not. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "bucket/object_walk.h"
#include "bucket/object.h"

#define HASH "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" /* "hello" */
#define KEY  "sha1/aa/f4/c6/" HASH

static char folder[64];
static struct data_dir dir;
/* At the object's path, around the next rename. */
static const char *arrives_before, *arrives_after;

static void write_object(const char *key, const char *text)
{
    char path[256];
    struct err e = {0};

    snprintf(path, sizeof path, "%s/%s", folder, key);
    assert_int_equal(dirs_make_parents(path, &e), 0);
    assert_int_equal(newfile_put(path, str_of(text), 0, &e), 0);
}

/* In the place of the library's. */
int rename(const char *from, const char *to)
{
    const char *before = arrives_before, *after = arrives_after;
    long result;

    arrives_before = arrives_after = NULL;
    if (before != NULL)
        write_object(KEY, before);
    result = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (after != NULL)
        write_object(KEY, after);
    return (int)result;
}

static int set_up(void **state)
{
    struct err e = {0};

    (void)state;
    strcpy(folder, "/tmp/test_object.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return data_dir_open(&dir, folder, &e);
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    data_dir_close(&dir);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static bool content_is(const char *want)
{
    char path[256];
    struct buf text = {0};
    struct err e = {0};
    bool is_same;

    snprintf(path, sizeof path, "%s/%s", folder, KEY);
    is_same = fs_read_file(path, 100, &text, &e) == 0 && strcmp(buf_cstr(&text), want) == 0;
    buf_free(&text);
    return is_same;
}

static enum object_state check(int64_t believed_s)
{
    struct object_facts facts;
    struct err e = {0};

    return object_check(&dir, STR(KEY), believed_s, NULL, &facts, &e);
}

static enum checked known(void)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", folder, KEY);
    assert_int_equal(stat(path, &st), 0);
    return checked_get(&dir, STR(KEY), &st, NULL, ERR_IGNORED);
}

static void test_states(void **state)
{
    (void)state;
    assert_int_equal(check(-1), OBJECT_MISSING);
    write_object(KEY, "hello");
    assert_int_equal(known(), CHECKED_UNKNOWN);
    assert_int_equal(check(-1), OBJECT_OK);
    assert_int_equal(known(), CHECKED_GOOD);
    write_object(KEY, "hellO");
    assert_int_equal(known(), CHECKED_UNKNOWN);
    assert_int_equal(check(-1), OBJECT_DAMAGED);
    assert_int_equal(known(), CHECKED_DAMAGED);
    write_object(KEY, "hello");
    assert_int_equal(check(-1), OBJECT_OK);
    assert_int_equal(known(), CHECKED_GOOD);
    checked_forget(&dir, STR(KEY));
    assert_int_equal(known(), CHECKED_UNKNOWN);
}

/* Bytes that rot under an old time are found by a reading, and only by one. */
static void test_rot(void **state)
{
    char path[256];
    struct stat st;

    (void)state;
    write_object(KEY, "hello");
    assert_int_equal(check(-1), OBJECT_OK);
    snprintf(path, sizeof path, "%s/%s", folder, KEY);
    assert_int_equal(stat(path, &st), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(write(fd, "j", 1), 1);
    assert_int_equal(futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim}), 0);
    close(fd);
    assert_int_equal(check(60), OBJECT_OK);
    assert_int_equal(check(-1), OBJECT_DAMAGED);
    assert_int_equal(known(), CHECKED_DAMAGED);
    assert_int_equal(check(60), OBJECT_DAMAGED);
}

/* Where the first record of the object's page is in the table of records. */
static off_t page_of_records(char path[256])
{
    char id[SHA1_HEX + 1];

    checked_id(STR(KEY), id);
    id[3] = '\0';
    snprintf(path, 256, "%s/.hub/checked/table", folder);
    return (off_t)strtol(id, NULL, 16) * 4096;
}

/* One record a key, whatever happens to it; others beside it stay; a torn one is none. */
static void test_records(void **state)
{
    char path[256], byte;
    struct stat st;
    off_t page = page_of_records(path);
    int fd;

    (void)state;
    for (int i = 0; i < 20; i++) {
        write_object(KEY, "hello");
        assert_int_equal(check(-1), OBJECT_OK);
    }
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, page + 64);
    for (off_t at = page + 20; at < page + 56; at++) {
        fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(known(), CHECKED_UNKNOWN);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    assert_int_equal(known(), CHECKED_GOOD);
    assert_int_equal(truncate(path, page + 63), 0);
    assert_int_equal(known(), CHECKED_UNKNOWN);
    assert_int_equal(check(-1), OBJECT_OK);
    assert_int_equal(known(), CHECKED_GOOD);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, page + 64);
}

/* The page of a key is full of others': its record goes to a file of its own, and back. */
static void test_full_page(void **state)
{
    char path[256], others[4096], id[SHA1_HEX + 1], file[256];
    off_t page = page_of_records(path);
    struct stat st;

    (void)state;
    memset(others, 0x55, sizeof others);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(pwrite(fd, others, sizeof others, page), sizeof others);
    checked_id(STR(KEY), id);
    snprintf(file, sizeof file, "%s/.hub/checked/%.3s", folder, id);
    write_object(KEY, "hello");
    assert_int_equal(check(-1), OBJECT_OK);
    assert_int_equal(known(), CHECKED_GOOD);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 64);
    checked_forget(&dir, STR(KEY));
    assert_int_equal(known(), CHECKED_UNKNOWN);

    memset(others + 128, 0, 64);
    assert_int_equal(pwrite(fd, others, sizeof others, page), sizeof others);
    assert_int_equal(check(-1), OBJECT_OK);
    assert_int_equal(known(), CHECKED_GOOD);
    assert_int_equal(pread(fd, others, 64, page + 128), 64);
    assert_int_equal((unsigned char)others[0], strtol((char[]){id[0], id[1], '\0'}, NULL, 16));
    close(fd);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, page + 4096);
}

static const struct removal {
    const char *name, *is, *before, *after; /* the object; what replaces it around the rename */
    enum object_state state;
    bool is_kept;
    const char *left; /* NULL: nothing */
} removals[] = {
    {"good", "hello", NULL, NULL, OBJECT_OK, false, NULL},
    {"damaged", "hellO", NULL, NULL, OBJECT_DAMAGED, false, NULL},
    {"a good one came before", "hellO", "hello", NULL, OBJECT_OK, true, "hello"},
    {"a good one came after", "hellO", NULL, "hello", OBJECT_DAMAGED, false, "hello"},
    {"good ones came before and after", "hellO", "hello", "hello", OBJECT_OK, true, "hello"},
    {"a bad one came before", "hellO", "hELLO", NULL, OBJECT_DAMAGED, false, NULL},
    {"a bad one came before, a good one after", "hellO", "hELLO", "hello", OBJECT_DAMAGED, false,
     "hello"},
};

static void test_remove(void **state)
{
    char command[128];

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(removals); i++) {
        const struct removal *c = &removals[i];
        struct err e = {0};
        int64_t size;
        bool is_kept;
        write_object(KEY, c->is);
        check(-1);
        arrives_before = c->before;
        arrives_after = c->after;
        unit_true(c->name, object_remove(&dir, STR(KEY), &size, &is_kept, &e) == c->state);
        unit_true(c->name, is_kept == c->is_kept);
        unit_true(c->name, c->left == NULL ? check(-1) == OBJECT_MISSING : content_is(c->left));
        snprintf(command, sizeof command, "test -z \"$(ls -A '%s/.hub/aside')\"", folder);
        unit_true(c->name, system(command) == 0);
        arrives_before = arrives_after = NULL;
        object_remove(&dir, STR(KEY), &size, &is_kept, &e);
    }
}

/* ---- all of a bucket ---- */

static struct buf seen;
static size_t left;

static bool on_object(void *ctx, struct str key)
{
    (void)ctx;
    buf_printf(&seen, "%.*s\n", STR_ARG(key));
    return --left > 0;
}

static void on_error(void *ctx, const struct err *e)
{
    (void)ctx;
    buf_printf(&seen, "error %s\n", e->msg);
}

static void test_walk(void **state)
{
    static const char *const keys[] = {
        "a-b/sha1/00/00/01/0000010000000000000000000000000000000000",
        "a/sha1/00/00/00/0000000000000000000000000000000000000000",
        "sha1/00/00/00/0000000000000000000000000000000000000000",
        "sha1/00/00/00/0000000000000000000000000000000000000001",
        "sha1/00/01/00/0001000000000000000000000000000000000000",
        "sha1/ff/00/00/ff00000000000000000000000000000000000000"};
    static const char *const others[] = {
        "sha1/00/00/00/0000000000000000000000000000000000000000.tmp.00000000", "sha1/00/x",
        "sha1/00/00/00/ff00000000000000000000000000000000000000", "sha1/0/00/00/x", "clients/x"};
    struct names directories = {.items = NULL};
    struct object_walk walk = {.dir = &dir,
                               .directories = &directories,
                               .on_object = on_object, .on_error = on_error};
    struct buf want = {0};
    struct err e = {0};

    (void)state;
    for (size_t i = UNIT_COUNT(keys); i-- > 0;)
        write_object(keys[i], "x");
    for (size_t i = 0; i < UNIT_COUNT(others); i++)
        write_object(others[i], "x");
    names_add(&directories, STR("a"));
    names_add(&directories, STR(""));
    names_add(&directories, STR("a-b"));
    names_add(&directories, STR("a"));
    /* Behind each of them, and one at a time. */
    for (size_t i = 0; i <= UNIT_COUNT(keys); i++) {
        buf_clear(&want);
        buf_clear(&seen);
        left = i % 2 == 0 ? 1000 : 1;
        for (size_t k = i; k < UNIT_COUNT(keys) && k < i + left; k++)
            buf_printf(&want, "%s\n", keys[k]);
        walk.after = i == 0 ? STR("") : str_of(keys[i - 1]);
        int result = object_walk(&walk, &e);
        assert_int_equal(result, left == 0 ? 1 : 0);
        unit_equal("keys", buf_cstr(&seen), buf_cstr(&want));
    }
    names_free(&directories);
    buf_free(&want);
    buf_free(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_remove, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_walk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
