/* An object appears whole and right or not at all; left-overs are removed, others kept. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "bucket/object_upload.h"

#define HELLO_HASH "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" /* "hello" */
#define EMPTY_HASH "da39a3ee5e6b4b0d3255bfef95601890afd80709"

static char folder[64];
static struct data_dir dir;
static bool has_locks = true, is_size_unknown;

/* In the place of the library's. */
int flock(int fd, int operation)
{
    if (has_locks)
        return (int)syscall(SYS_flock, fd, operation);
    errno = ENOLCK;
    return -1;
}

int fstatvfs(int fd, struct statvfs *out)
{
    (void)fd;
    *out = (struct statvfs){.f_bsize = 4096, .f_frsize = 4096, .f_blocks = 1000, .f_bavail = 1000};
    if (is_size_unknown)
        *out = (struct statvfs){0};
    return 0;
}

static int set_up(void **state)
{
    struct err e = {0};

    (void)state;
    strcpy(folder, "/tmp/test_object_upload.XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(data_dir_open(&dir, folder, &e), 0);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    data_dir_close(&dir);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* How many files wait in the folder of unfinished uploads. */
static int count_unfinished(void)
{
    char command[160];
    int count = -1;
    FILE *out;

    snprintf(command, sizeof command, "find '%s/.hub/uploads' -type f | wc -l", folder);
    out = popen(command, "r");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%d", &count), 1);
    pclose(out);
    return count;
}

static const struct publish_case {
    const char *name, *data, *hash;
    int64_t size;
    enum err_code write_code, publish_code;
} publish_cases[] = {
    {"right", "hello", HELLO_HASH, 5, ERR_NONE, ERR_NONE},
    {"nothing", "", EMPTY_HASH, 0, ERR_NONE, ERR_NONE},
    {"wrong hash", "hellO", HELLO_HASH, 5, ERR_NONE, ERR_CHANGED},
    {"too short", "hell", HELLO_HASH, 5, ERR_NONE, ERR_PROTOCOL},
    {"too long", "hello!", HELLO_HASH, 5, ERR_PROTOCOL, ERR_NONE},
};

static void test_publish(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(publish_cases); i++) {
        const struct publish_case *c = &publish_cases[i];
        const char *path = path_of("z/sha1/aa/f4/c6/object");
        struct object_upload file;
        struct err e = {0};
        bool is_right = c->write_code == ERR_NONE && c->publish_code == ERR_NONE;
        unit_true(c->name, object_upload_open(&file, &dir, "name", c->size, &e) == 0);
        unit_true(c->name, count_unfinished() == 1);
        int result = object_upload_write(&file, str_of(c->data), &e);
        unit_true(c->name, (result == 0 ? ERR_NONE : e.code) == c->write_code);
        if (result == 0) {
            result = object_upload_publish(&file, path, str_of(c->hash), &e);
            unit_true(c->name, (result == 0 ? ERR_NONE : e.code) == c->publish_code);
        }
        object_upload_discard(&file);
        unit_true(c->name, count_unfinished() == 0);
        unit_true(c->name, (access(path, F_OK) == 0) == is_right);
        unlink(path);
    }
}

static void test_replace(void **state)
{
    const char *path = path_of("sha1/object");
    struct object_upload file;
    struct err e = {0};
    struct buf text = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(object_upload_open(&file, &dir, "name", 5, &e), 0);
        assert_int_equal(object_upload_write(&file, STR("hello"), &e), 0);
        assert_int_equal(object_upload_publish(&file, path, STR(HELLO_HASH), &e), 0);
    }
    assert_int_equal(fs_read_file(path, 100, &text, &e), 0);
    unit_equal("content", buf_cstr(&text), "hello");
    buf_free(&text);
}

/* A few at once under one name, also of other processes; their places come back. */
static void test_shared(void **state)
{
    struct object_upload files[OBJECT_UPLOAD_MAX_SHARED], other;
    struct err e = {0};

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < OBJECT_UPLOAD_MAX_SHARED; i++)
            assert_int_equal(object_upload_open(&files[i], &dir, "name", 5, &e), 0);
        assert_int_equal(object_upload_open(&other, &dir, "name", 5, &e), -1);
        assert_int_equal(e.code, ERR_TAKEN);
        assert_int_equal(object_upload_open(&other, &dir, "another", 5, &e), 0);
        object_upload_discard(&other);
        object_upload_discard(&files[3]);
        assert_int_equal(object_upload_open(&files[3], &dir, "name", 5, &e), 0);
        for (int i = 0; i < OBJECT_UPLOAD_MAX_SHARED; i++)
            object_upload_discard(&files[i]);
        assert_int_equal(count_unfinished(), 0);
    }
}

/* Checked as others are, and written nowhere. */
static void test_dry(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(publish_cases); i++) {
        const struct publish_case *c = &publish_cases[i];
        const char *path = path_of("sha1/dry");
        struct object_upload file;
        struct err e = {0};
        object_upload_open_dry(&file, c->size);
        int result = object_upload_write(&file, str_of(c->data), &e);
        unit_true(c->name, (result == 0 ? ERR_NONE : e.code) == c->write_code);
        if (result == 0) {
            result = object_upload_publish(&file, path, str_of(c->hash), &e);
            unit_true(c->name, (result == 0 ? ERR_NONE : e.code) == c->publish_code);
        }
        object_upload_discard(&file);
        unit_true(c->name, count_unfinished() == 0 && access(path, F_OK) != 0);
    }
}

static void test_no_room(void **state)
{
    struct object_upload file;
    struct err e = {0};

    (void)state;
    assert_int_equal(object_upload_open(&file, &dir, "name", INT64_C(1) << 60, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_int_equal(count_unfinished(), 0);
}

/* A file system in user space may say nothing at all of its size. */
static void test_unknown_room(void **state)
{
    struct object_upload file;
    struct err e = {0};

    (void)state;
    is_size_unknown = true;
    assert_int_equal(object_upload_open(&file, &dir, "name", INT64_C(1) << 40, &e), 0);
    is_size_unknown = false;
    object_upload_discard(&file);
}

/* Where files cannot be locked uploads are taken, and only what is old is a left-over. */
static void test_no_locks(void **state)
{
    const struct timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
    struct object_upload file;
    struct err e = {0};

    (void)state;
    has_locks = false;
    assert_int_equal(object_upload_open(&file, &dir, "name", 5, &e), 0);
    object_upload_clean(dir.path);
    assert_int_equal(object_upload_write(&file, STR("hello"), &e), 0);
    assert_int_equal(object_upload_publish(&file, path_of("sha1/object"), STR(HELLO_HASH), &e), 0);
    assert_int_equal(object_upload_open(&file, &dir, "name", 5, &e), 0);
    assert_int_equal(futimens(file.temporary.fd, long_ago), 0);
    object_upload_clean(dir.path);
    assert_int_equal(count_unfinished(), 0);
    object_upload_discard(&file);
    has_locks = true;
}

/* A disk of its own for the objects cannot be served: the words say what is wrong. */
static void test_another_file_system(void **state)
{
    char other[] = "/dev/shm/test_object_upload.XXXXXX";
    struct object_upload file;
    struct stat here, there;
    struct buf path = {0};
    struct err e = {0};

    (void)state;
    if (mkdtemp(other) == NULL)
        skip();
    assert_int_equal(stat(folder, &here) | stat(other, &there), 0);
    buf_printf(&path, "%s/object", other);
    assert_int_equal(object_upload_open(&file, &dir, "name", 5, &e), 0);
    assert_int_equal(object_upload_write(&file, STR("hello"), &e), 0);
    if (here.st_dev != there.st_dev) {
        assert_int_equal(object_upload_publish(&file, buf_cstr(&path), STR(HELLO_HASH), &e), -1);
        unit_true("words", strstr(e.msg, "is not one file system") != NULL);
    }
    object_upload_discard(&file);
    assert_int_equal(rmdir(other), 0);
    buf_free(&path);
}

static void test_clean(void **state)
{
    struct object_upload file;
    struct err e = {0};
    int fd;

    (void)state;
    assert_int_equal(object_upload_open(&file, &dir, "name", 5, &e), 0);
    fd = open(path_of(".hub/uploads/0123456789abcdef"), O_WRONLY | O_CREAT, 0666);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(count_unfinished(), 2);
    object_upload_clean(dir.path);
    assert_int_equal(count_unfinished(), 1);
    assert_int_equal(object_upload_write(&file, STR("hello"), &e), 0);
    assert_int_equal(object_upload_publish(&file, path_of("sha1/other"), STR(HELLO_HASH), &e), 0);
}

/* Strangers are not told where the data lies. */
static void test_public_error(void **state)
{
    struct buf want = {0}, got = {0};
    struct err e;

    (void)state;
    err_set(&e, ERR_FAILED, "cannot open %s/clients/x: %s, %sother", dir.path, dir.path, dir.path);
    data_dir_put_public_error(&dir, &e, &got);
    buf_puts(&want, "cannot open clients/x: the data directory, the data directoryother");
    unit_equal("path", buf_cstr(&got), buf_cstr(&want));
    buf_free(&got);
    buf_free(&want);
}

static void test_key_is_kept(void **state)
{
    unsigned char key[SIGNED_URL_KEY];
    struct data_dir again;
    struct stat st;
    struct err e = {0};

    (void)state;
    memcpy(key, dir.url_key, sizeof key);
    assert_int_equal(data_dir_open(&again, folder, &e), 0);
    assert_memory_equal(key, again.url_key, sizeof key);
    assert_int_equal(stat(path_of(".hub/url-key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    data_dir_close(&again);
}

/* Whoever signs a URL, the other one takes it. */
static void test_two_that_start_at_once(void **state)
{
    enum { SITES = 8 };
    unsigned char keys[SITES][SIGNED_URL_KEY];
    int ends[2], gate[2];

    (void)state;
    assert_int_equal(unlink(path_of(".hub/url-key")), 0);
    assert_int_equal(pipe(ends) | pipe(gate), 0);
    for (int i = 0; i < SITES; i++) {
        if (fork() != 0)
            continue;
        struct data_dir own;
        struct err e = {0};
        char go;
        close(gate[1]);
        if (read(gate[0], &go, 1) == 0 && data_dir_open(&own, folder, &e) == 0 &&
            write(ends[1], own.url_key, SIGNED_URL_KEY) == SIGNED_URL_KEY)
            _exit(0);
        _exit(1);
    }
    close(gate[1]);
    for (int i = 0; i < SITES; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        assert_int_equal(read(ends[0], keys[i], SIGNED_URL_KEY), SIGNED_URL_KEY);
        assert_memory_equal(keys[i], keys[0], SIGNED_URL_KEY);
    }
    close(ends[0]);
    close(ends[1]);
    close(gate[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_locks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_file_system, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_public_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_that_start_at_once, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
