/* Adding files to the store: links, copies, downloads, and what refuses or changes. */
#include "store_fixture.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/hex.h"
#include "base/newfile.h"
#include "store/add.h"
#include "store/hash_cache.h"
#include "store/link.h"
#include "store/record.h"

static const char hello_hash[] = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"; /* "hello" */

static void link_writes_a_record(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct add_staged added;
    struct buf file = {0}, want = {0};
    struct err e = {0};

    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
    assert_string_equal(added.hash, hello_hash);
    assert_int_equal(added.size, 5);
    store_put_link_path(&f->store, hello_hash, &file);
    char *text = fixture_read(buf_cstr(&file));
    buf_printf(&want, "{\"path\": \"%s\", \"size\": 5, \"mtime\": 1700000000.1234567, "
                      "\"sha1\": \"%s\"}", path, hello_hash);
    unit_equal("record", text, buf_cstr(&want));
    free(text);
    assert_int_equal(fixture_count(f), 2); /* and its paths */

    const char *other = fixture_write(f, "data/other", STR("hello"), 1700000001);
    assert_int_equal(add_file(&f->store, STORE_LINK, other, NULL, &added, &e), 0);
    struct record r;
    assert_int_equal(record_read(buf_cstr(&file), &r, &e), 0);
    unit_equal("the last link wins", r.path, other);
    record_deinit(&r);
    assert_int_equal(fixture_count(f), 2);
    buf_free(&file);
    buf_free(&want);
}

static char *make_large(size_t size)
{
    char *data = malloc(size);

    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i % 251);
    return data;
}

/* A wrong hash planted in the cache shows whether the data were read. */
static void link_trusts_the_cache_for_large_files(void **state)
{
    enum { LARGE = 1000001 };
    struct fixture *f = *state;
    char *data = make_large(LARGE);
    const char *path = fixture_write(f, "data/large", (struct str){data, LARGE}, 1700000000);
    struct add_staged added;
    struct stat st;
    struct err e;
    char real_hash[SHA1_HEX + 1];

    free(data);
    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
    memcpy(real_hash, added.hash, sizeof real_hash);
    assert_int_equal(stat(path, &st), 0);
    hash_cache_put(&f->store, path, &st, hello_hash, INT64_MAX / 2);
    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
    assert_string_equal(added.hash, hello_hash);
    struct timespec now[2] = {{.tv_sec = 1700000007}, {.tv_sec = 1700000007}};
    assert_int_equal(utimensat(AT_FDCWD, path, now, 0), 0);
    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
    assert_string_equal(added.hash, real_hash);
}

static void unchanged_link_writes_nothing(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct add_staged staged;
    struct add_staged added;
    struct err e;

    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
    assert_int_equal(add_stage(&f->store, STORE_LINK, path, NULL, &staged, &e), 0);
    assert_string_equal(staged.suffix, "");
    struct buf paths = {0};
    struct stat before, after;
    link_put_paths_path(&f->store, hello_hash, &paths);
    assert_int_equal(stat(buf_cstr(&paths), &before), 0);
    assert_int_equal(add_publish(&f->store, path, &staged, &e), 0);
    assert_int_equal(stat(buf_cstr(&paths), &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(fixture_count(f), 2);
    buf_free(&paths);
}

static void staged_is_not_visible(void **state)
{
    static const enum store_kind kinds[] = {STORE_LINK, STORE_COPY};
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);

    for (size_t i = 0; i < UNIT_COUNT(kinds); i++) {
        const char *name = store_kind_name(kinds[i]);
        struct add_staged staged = {0};
        struct store_entry entry = {0};
        struct err e;
        unit_true(name, add_stage(&f->store, kinds[i], path, NULL, &staged, &e) == 0);
        unit_true(name, store_lookup_kind(&f->store, hello_hash, kinds[i], &entry, &e) == 0);
        unit_true(name, entry.state == STORE_ABSENT);
        unit_true(name, fixture_count(f) == 2 * i + 1);
        add_discard(&f->store, &staged);
        unit_true(name, fixture_count(f) == 2 * i);
        unit_true(name, add_stage(&f->store, kinds[i], path, NULL, &staged, &e) == 0);
        unit_true(name, add_publish(&f->store, path, &staged, &e) == 0);
        unit_true(name, store_lookup_kind(&f->store, hello_hash, kinds[i], &entry, &e) == 0);
        unit_true(name, entry.state == STORE_OK);
        store_entry_deinit(&entry);
    }
}

static const struct {
    const char *name;
    size_t size;
    size_t hole; /* zeros in front */
} copied[] = {
    {"empty", 0, 0},
    {"one byte", 1, 0},
    {"a chunk and a bit", (512 << 10) + 1, 0},
    {"sparse: ends with a hole", 0, 3 << 20},
    {"sparse: data behind the hole", 1000, 3 << 20},
};

static void copies_have_the_bytes_of_the_source(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(copied); i++) {
        char *data = make_large(copied[i].size + 1);
        const char *path = fixture_path(f, "source");
        unsigned char digest[SHA1_SIZE];
        char hash[SHA1_HEX + 1];
        struct add_staged added;
        struct store_entry entry = {0};
        struct err e = {0};
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
        unit_true(copied[i].name, fd >= 0);
        unit_true(copied[i].name,
                  ftruncate(fd, (off_t)(copied[i].hole + copied[i].size)) == 0);
        unit_true(copied[i].name, pwrite(fd, data, copied[i].size, (off_t)copied[i].hole) ==
                                      (ssize_t)copied[i].size);
        close(fd);
        free(data);
        char *want = fixture_read(path);
        sha1_of((struct str){want, copied[i].hole + copied[i].size}, digest);
        hex_encode(digest, SHA1_SIZE, hash);

        if (add_file(&f->store, STORE_COPY, path, NULL, &added, &e) != 0)
            fail_msg("%s: %s", copied[i].name, e.msg);
        unit_equal(copied[i].name, added.hash, hash);
        unit_true(copied[i].name, store_lookup(&f->store, hash, &entry, &e) == 0);
        unit_true(copied[i].name, entry.kind == STORE_COPY && entry.state == STORE_OK);
        unit_true(copied[i].name, entry.size == (int64_t)(copied[i].hole + copied[i].size));
        struct buf got = {0};
        struct stat st;
        unit_true(copied[i].name, fs_read_file(entry.path, 1 << 24, &got, &e) == 0);
        unit_true(copied[i].name, memcmp(got.data, want, got.len) == 0);
        unit_true(copied[i].name, stat(entry.path, &st) == 0);
        if (copied[i].hole > 0)
            unit_true(copied[i].name, st.st_blocks < st.st_size / 512);
        buf_free(&got);
        free(want);
        store_entry_deinit(&entry);
    }
    assert_int_equal(fixture_count(f), UNIT_COUNT(copied));
}

static void copy_heals_a_damaged_one(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct add_staged added;
    struct buf copy = {0};
    struct err e;

    assert_int_equal(add_file(&f->store, STORE_COPY, path, NULL, &added, &e), 0);
    store_put_copy_path(&f->store, hello_hash, &copy);
    assert_int_equal(newfile_put(buf_cstr(&copy), STR("jello"), 0, &e), 0);
    assert_int_equal(add_file(&f->store, STORE_COPY, path, NULL, &added, &e), 0);
    char *text = fixture_read(buf_cstr(&copy));
    unit_equal("healed", text, "hello");
    free(text);
    buf_free(&copy);
}

static void make_odd_files(const struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(mkfifo(fixture_path(f, "fifo"), 0666), 0);
    assert_int_equal(mkdir(fixture_path(f, "folder"), 0777), 0);
    assert_int_equal(symlink("loop", fixture_path(f, "loop")), 0);
    assert_int_equal(symlink("fifo", fixture_path(f, "to fifo")), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", f->dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void odd_files_are_refused(void **state)
{
    static const struct {
        const char *name, *path, *want;
    } cases[] = {
        {"missing", "none", "cannot open: No such file or directory"},
        {"directory", "folder", "is a directory: want a regular file"},
        {"FIFO", "fifo", "is a FIFO: want a regular file"},
        {"link to a FIFO", "to fifo", "is a FIFO: want a regular file"},
        {"socket", "socket", "is a socket: want a regular file"},
        {"loop", "loop", "cannot open: "},
        {"device", "/dev/null", "is a device: want a regular file"},
    };
    struct fixture *f = *state;

    make_odd_files(f);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const char *path =
            cases[i].path[0] == '/' ? cases[i].path : fixture_path(f, cases[i].path);
        struct add_staged added;
        struct err e = {0};
        unit_true(cases[i].name, add_file(&f->store, STORE_LINK, path, NULL, &added, &e) == -1);
        if (strstr(e.msg, cases[i].want) == NULL)
            unit_equal(cases[i].name, e.msg, cases[i].want);
        unit_true(cases[i].name, add_file(&f->store, STORE_COPY, path, NULL, &added, &e) == -1);
        if (strstr(e.msg, cases[i].want) == NULL)
            unit_equal(cases[i].name, e.msg, cases[i].want);
    }
    assert_int_equal(fixture_count(f), 0);
}

/* A writer that changes the file in place each time a chunk was read, `left` times. */
struct writer {
    const char *path;
    int left, done;
};

static bool write_meanwhile(void *ctx, int64_t bytes)
{
    struct writer *w = ctx;
    struct timespec times[2] = {{.tv_sec = 1700000001 + w->done}, {.tv_sec = 1700000001 + w->done}};
    int fd;

    (void)bytes;
    if (w->left == 0)
        return true;
    w->left--;
    w->done++;
    fd = open(w->path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "H", 1), 1);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    return true;
}

static void file_that_changes_while_it_is_read(void **state)
{
    static const enum store_kind kinds[] = {STORE_LINK, STORE_COPY};
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(kinds); i++) {
        const char *name = store_kind_name(kinds[i]);
        const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
        struct writer w = {path, 100, 0};
        struct hash_watch watch = {write_meanwhile, &w};
    const struct hash_options watched = {.watch = &watch};
        struct add_staged staged = {0};
        struct err e = {0};
        unit_true(name, add_stage(&f->store, kinds[i], path, &watched, &staged, &e) == -1);
        unit_true(name, e.code == ERR_CHANGED);
        unit_true(name, w.done == 2);
        unit_true(name, fixture_count(f) == 0);

        fixture_write(f, "data/hello", STR("hello"), 1700000000);
        w = (struct writer){path, 1, 0};
        unit_true(name, add_stage(&f->store, kinds[i], path, &watched, &staged, &e) == 0);
        unit_equal(name, staged.hash, "f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0"); /* Hello */
        add_discard(&f->store, &staged);
    }
}

static bool give_up(void *ctx, int64_t bytes)
{
    (void)ctx;
    (void)bytes;
    return false;
}

static void interrupted_copy_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct hash_watch watch = {give_up, NULL};
    const struct hash_options watched = {.watch = &watch};
    struct add_staged staged = {0};
    struct err e = {0};

    assert_int_equal(add_stage(&f->store, STORE_COPY, path, &watched, &staged, &e), -1);
    assert_int_equal(fixture_count(f), 0);
}

/* Shared stores: the store's group bits decide, not the umask. */
static void modes_follow_the_root(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct buf file = {0};
    struct add_staged added;
    struct stat st;
    struct err e = {0};
    char part[256];

    assert_int_equal(mkdir(f->store.dir, 0777), 0);
    assert_int_equal(chmod(f->store.dir, 02770), 0);
    mode_t before = umask(0077);
    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
    assert_int_equal(add_file(&f->store, STORE_COPY, path, NULL, &added, &e), 0);
    umask(before);
    store_put_copy_path(&f->store, hello_hash, &file);
    assert_int_equal(stat(buf_cstr(&file), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    snprintf(part, sizeof part, "%s/linked_files/sha1/aa/f4/c6", f->store.dir);
    assert_int_equal(stat(part, &st), 0);
    assert_int_equal(st.st_mode & 07777, 02770);
    buf_free(&file);
}

/* A file that somebody writes to as fast as it is read. */
struct growing {
    const char *path;
    int calls;
};

static bool grow(void *ctx, int64_t bytes)
{
    struct growing *g = ctx;
    static const char more[1 << 20];
    int fd = open(g->path, O_WRONLY | O_APPEND);

    (void)bytes;
    assert_int_equal(write(fd, more, sizeof more), sizeof more);
    close(fd);
    return ++g->calls < 50;
}

static void what_grows_without_end_is_not_read_without_end(void **state)
{
    struct fixture *f = *state;
    struct add_staged staged;
    struct err e = {0};

    for (enum store_kind kind = STORE_COPY; kind <= STORE_LINK; kind++) {
        const char *path = fixture_write(f, store_kind_name(kind), STR("x"), 1700000000);
        struct growing g = {.path = path};
        const struct hash_watch watch = {grow, &g};
    const struct hash_options watched = {.watch = &watch};
        grow(&g, 0);
        assert_int_equal(add_stage(&f->store, kind, path, &watched, &staged, &e), -1);
        unit_true(store_kind_name(kind), e.code == ERR_CHANGED);
    }
    assert_int_equal(fixture_count(f), 0);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(link_writes_a_record),
        WITH_STORE(link_trusts_the_cache_for_large_files),
        WITH_STORE(unchanged_link_writes_nothing),
        WITH_STORE(staged_is_not_visible),
        WITH_STORE(copies_have_the_bytes_of_the_source),
        WITH_STORE(copy_heals_a_damaged_one),
        WITH_STORE(odd_files_are_refused),
        WITH_STORE(file_that_changes_while_it_is_read),
        WITH_STORE(what_grows_without_end_is_not_read_without_end),
        WITH_STORE(interrupted_copy_leaves_nothing),
        WITH_STORE(modes_follow_the_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
