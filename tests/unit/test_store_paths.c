/* The file of remembered paths: what is read, what counts as missing, its limits; and links that
 * have several. */
#include "store_fixture.h"

#include "store/add.h"
#include "store/link.h"
#include "store/paths.h"
#include "store/record.h"
#include "base/newfile.h"

static const char hello_hash[] = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"; /* "hello" */

#define HEAD "{\"sha1\": \"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\", \"size\": 5, \"paths\": "
#define GOOD "{\"path\": \"/a\", \"mtime\": 1.5"
#define SEEN(inode, owner)                                                                         \
    GOOD ", \"resolved\": \"/b\", \"inode\": \"" inode "\", \"owner\": " owner

static void texts(void **state)
{
    static const struct {
        const char *name, *text;
        size_t count; /* 0: counts as missing */
    } cases[] = {
        {"one", HEAD "[" GOOD "}]}", 1},
        {"with its file", HEAD "[" SEEN("18446744073709551615", "4294967295") "}]}", 1},
        {"keys of a later version", HEAD "[" GOOD ", \"more\": [1]}], \"version\": 2}", 1},
        {"bytes that are not UTF-8", HEAD "[{\"path\": \"/\\udcff\", \"mtime\": 1}]}", 1},
        {"empty", "", 0},
        {"half", HEAD "[" GOOD "}", 0},
        {"no paths", HEAD "[]}", 0},
        {"no array", HEAD "{}}", 0},
        {"another hash's", "{\"sha1\": \"aaf4\", \"size\": 5, \"paths\": [" GOOD "}]}", 0},
        {"no size", "{\"sha1\": \"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\", \"paths\": ["
                    GOOD "}]}", 0},
        {"a relative path", HEAD "[{\"path\": \"a\", \"mtime\": 1}]}", 0},
        {"no time", HEAD "[{\"path\": \"/a\"}]}", 0},
        {"an inode that is no number", HEAD "[" SEEN("x", "0") "}]}", 0},
        {"an inode beyond 64 bits", HEAD "[" SEEN("18446744073709551616", "0") "}]}", 0},
        {"an owner below 0", HEAD "[" SEEN("1", "-1") "}]}", 0},
        {"an owner beyond 32 bits", HEAD "[" SEEN("1", "4294967296") "}]}", 0},
        {"no owner", HEAD "[" GOOD ", \"resolved\": \"/b\", \"inode\": \"1\"}]}", 0},
        {"a number", "7", 0},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct paths p = {0};
        struct err e = {0};
        int status = paths_parse(str_of(cases[i].text), hello_hash, &p, &e);
        unit_true(cases[i].name, (status == 0) == (cases[i].count > 0));
        unit_true(cases[i].name, p.count == cases[i].count);
        unit_true(cases[i].name, status == 0 || e.code == ERR_NOT_FOUND);
        if (status == 0) {
            struct buf again = {0};
            struct paths q = {0};
            paths_put(&again, &p, hello_hash);
            unit_true(cases[i].name, paths_parse(buf_str(&again), hello_hash, &q, &e) == 0);
            unit_equal(cases[i].name, q.items[0].path, p.items[0].path);
            unit_true(cases[i].name, q.items[0].inode == p.items[0].inode);
            unit_true(cases[i].name, q.items[0].owner == p.items[0].owner);
            paths_deinit(&q);
            buf_free(&again);
        }
        paths_deinit(&p);
    }
}

/* The oldest are forgotten, also where long names make the file too large before there are many. */
static void limits(void **state)
{
    static const size_t lengths[] = {10, 1000};
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(lengths); i++) {
        struct paths p = {.size = 5}, read = {0};
        const char *file = fixture_path(f, "paths");
        char path[5000], last[5000] = "";
        struct stat st;
        struct err e;
        for (int n = 0; n < PATHS_MAX + 10; n++) {
            memset(path, 'x', sizeof path);
            memset(path + 20, '\xff', lengths[i]);
            snprintf(path + lengths[i] + 20, 16, "%d", n);
            path[0] = '/';
            memcpy(last, path, sizeof last);
            const struct paths_entry entry = {.path = path, .mtime = n, .resolved = path};
            assert_int_equal(paths_remember(&p, &entry, &e), 0);
        }
        assert_int_equal(p.count, PATHS_MAX);
        assert_int_equal(paths_write(&f->store, file, hello_hash, &p, false, &e), 0);
        assert_int_equal(paths_read(file, hello_hash, &read, &st, &e), 0);
        assert_true(st.st_size <= PATHS_MAX_BYTES);
        assert_true(lengths[i] > 10 ? read.count < PATHS_MAX : read.count == PATHS_MAX);
        assert_true(read.count > 2);
        unit_equal("the newest stays", read.items[read.count - 1].path, last);
        paths_deinit(&p);
        paths_deinit(&read);
    }
}

static void add_link(struct fixture *f, const char *path)
{
    struct add_staged added;
    struct err e;

    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);
}

static void expect_paths(struct fixture *f, const char *name, const char *want)
{
    struct store_entry *entries;
    struct buf got = {0};
    size_t count;
    struct err e;

    assert_int_equal(store_lookup_paths(&f->store, hello_hash, &entries, &count, &e), 0);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&got, "%s:%s ", strrchr(entries[i].path, '/') + 1,
                   store_state_name(entries[i].state));
        store_entry_deinit(&entries[i]);
    }
    free(entries);
    unit_equal(name, buf_cstr(&got), want);
    buf_free(&got);
}

static void expect_found(struct fixture *f, const char *name, enum store_state state,
                         const char *path)
{
    struct store_entry entry = {0};
    struct err e;

    assert_int_equal(store_lookup(&f->store, hello_hash, &entry, &e), 0);
    unit_true(name, entry.state == state);
    unit_equal(name, strrchr(entry.path, '/') + 1, path);
    store_entry_deinit(&entry);
}

static void write_record(struct fixture *f, const char *path, double mtime)
{
    struct record r = {.path = (char *)path, .size = 5, .mtime = mtime};
    struct buf file = {0};
    struct err e;

    memcpy(r.hash, hello_hash, sizeof r.hash);
    store_put_link_path(&f->store, hello_hash, &file);
    assert_int_equal(record_write(&f->store, buf_cstr(&file), &r, 0, &e), 0);
    buf_free(&file);
}

static void several_paths(void **state)
{
    struct fixture *f = *state;
    char a[256], b[256], c[256];

    snprintf(a, sizeof a, "%s", fixture_write(f, "a", STR("hello"), 1700000000));
    snprintf(b, sizeof b, "%s", fixture_write(f, "b", STR("hello"), 1700000001));
    snprintf(c, sizeof c, "%s", fixture_write(f, "c", STR("hello"), 1700000002));
    add_link(f, a);
    add_link(f, b);
    expect_paths(f, "both", "b:ok a:ok ");
    expect_found(f, "the newer is served", STORE_OK, "b");
    unlink(b);
    expect_paths(f, "one is gone", "b:missing a:ok ");
    expect_found(f, "the older is served", STORE_OK, "a");
    fixture_write(f, "b", STR("longer"), 1700000001);
    expect_found(f, "the newer is changed", STORE_OK, "a");
    fixture_write(f, "b", STR("HELLO"), 1700000009);
    expect_found(f, "the newer may be changed", STORE_OK, "a");
    unlink(a);
    expect_found(f, "it is all there is", STORE_TOUCHED, "b");
    unlink(b);
    expect_found(f, "none is there: the record's says why", STORE_MISSING, "b");
    fixture_write(f, "a", STR("hello"), 1700000000);
    add_link(f, a);
    expect_paths(f, "linked again", "a:ok b:missing ");
    write_record(f, c, 1700000002 + 1e-9 * 123456789);
    expect_paths(f, "another program linked: what does not name its path is ignored", "c:ok ");
    add_link(f, a);
    expect_paths(f, "and nothing is lost", "a:ok c:ok b:missing ");
}

/* A file of the same size and time that is not the one that was linked. */
static void another_file(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "a", STR("hello"), 1700000000);
    struct store_entry entry = {0};
    struct err e;

    add_link(f, path);
    expect_found(f, "as linked", STORE_OK, "a");
    const char *other = fixture_write(f, "other", STR("HELLO"), 1700000000);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(store_lookup(&f->store, hello_hash, &entry, &e), 0);
    assert_true(entry.state == STORE_OK && entry.is_other_file);
    store_entry_deinit(&entry);
    add_link(f, fixture_write(f, "b", STR("hello"), 1700000000));
    add_link(f, path); /* too small for the hash cache: it is another hash now */
    expect_found(f, "one that is as it was goes before", STORE_OK, "b");
}

/* What is beside the record is not believed to be more than it is. */
static void hostile_files(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "a", STR("hello"), 1700000000);
    struct buf file = {0}, huge = {0};
    struct err e;

    add_link(f, path);
    link_put_paths_path(&f->store, hello_hash, &file);
    const char *name = buf_cstr(&file);
    for (int i = 0; i < (PATHS_MAX_BYTES >> 3) + 1; i++)
        buf_puts(&huge, "[[[[[[[[");
    assert_int_equal(newfile_put(name, buf_str(&huge), 0, &e), 0);
    expect_paths(f, "huge", "a:ok ");
    unlink(name);
    assert_int_equal(mkfifo(name, 0600), 0);
    expect_paths(f, "a FIFO", "a:ok ");
    add_link(f, fixture_write(f, "b", STR("hello"), 1700000000));
    expect_paths(f, "replaced", "b:ok a:ok ");
    const char *elsewhere = fixture_path(f, "elsewhere");
    assert_int_equal(rename(name, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, name), 0);
    expect_paths(f, "a symbolic link", "b:ok ");
    unlink(name);
    assert_int_equal(mkdir(name, 0700), 0);
    expect_paths(f, "a directory", "b:ok ");
    buf_free(&file);
    buf_free(&huge);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        WITH_STORE(limits),
        WITH_STORE(several_paths),
        WITH_STORE(another_file),
        WITH_STORE(hostile_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
