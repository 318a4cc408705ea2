/* What the store says of a hash: states of copies and links, environment, reading by the user. */
#include "store_fixture.h"

#include "base/dirs.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "store/record.h"

static const char hello_hash[] = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"; /* "hello" */
static const char empty_hash[] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

static void put_copy(struct fixture *f, const char *hash, const char *content)
{
    struct buf path = {0};
    struct err e;

    store_put_copy_path(&f->store, hash, &path);
    assert_int_equal(dirs_make_parents(buf_cstr(&path), &e), 0);
    assert_int_equal(newfile_put(buf_cstr(&path), str_of(content), 0, &e), 0);
    buf_free(&path);
}

static void put_link(struct fixture *f, const char *hash, const char *path, int64_t size,
                     double mtime)
{
    struct record r = {.path = (char *)path, .size = size, .mtime = mtime};
    struct buf file = {0};
    struct err e;

    memcpy(r.hash, hash, sizeof r.hash);
    store_put_link_path(&f->store, hash, &file);
    assert_int_equal(record_write(&f->store, buf_cstr(&file), &r, 0, &e), 0);
    buf_free(&file);
}

static double mtime_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return fs_mtime(&st);
}

static void expect(struct fixture *f, const char *name, const char *hash, enum store_kind kind,
                   enum store_state state, const char *path)
{
    struct store_entry entry = {0};
    struct err e = {0};

    if (store_lookup(&f->store, hash, &entry, &e) != 0)
        fail_msg("%s: %s", name, e.msg);
    if (entry.state != state || (state != STORE_ABSENT && entry.kind != kind))
        fail_msg("%s: %s %s (%d)", name, store_kind_name(entry.kind),
                 store_state_name(entry.state), (int)entry.state);
    unit_equal(name, entry.path ? entry.path : "", path ? path : "");
    store_entry_deinit(&entry);
}

/* store_find of a URI whose location is made of these bytes. */
static int find(struct fixture *f, const char *location, struct store_entry *out)
{
    struct kachery_uri uri;
    struct buf text = {0};
    struct err e;
    int result;

    kachery_uri_put(&text, hello_hash, STR("a label"));
    kachery_uri_put_location(&text, str_of(location));
    assert_int_equal(kachery_uri_parse(&uri, buf_str(&text), KACHERY_URI_USER, &e), 0);
    result = store_find(&f->store, &uri, NULL, out, &e);
    buf_free(&text);
    return result;
}

static const char *copy_path(struct fixture *f, const char *hash)
{
    static char text[256];
    struct buf path = {0};

    store_put_copy_path(&f->store, hash, &path);
    snprintf(text, sizeof text, "%s", buf_cstr(&path));
    buf_free(&path);
    return text;
}

static void copies(void **state)
{
    struct fixture *f = *state;

    expect(f, "no store at all", hello_hash, STORE_COPY, STORE_ABSENT, NULL);
    put_copy(f, hello_hash, "hello");
    expect(f, "copy", hello_hash, STORE_COPY, STORE_OK, copy_path(f, hello_hash));
    put_copy(f, empty_hash, "");
    expect(f, "copy of the empty file", empty_hash, STORE_COPY, STORE_OK,
           copy_path(f, empty_hash));
    put_copy(f, hello_hash, "");
    expect(f, "emptied copy", hello_hash, STORE_COPY, STORE_DAMAGED, copy_path(f, hello_hash));

    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    put_link(f, hello_hash, path, 5, mtime_of(path));
    expect(f, "emptied copy beside a good link", hello_hash, STORE_LINK, STORE_OK, path);
    put_copy(f, hello_hash, "hello");
    expect(f, "copy beside a good link", hello_hash, STORE_COPY, STORE_OK,
           copy_path(f, hello_hash));
}

static void links(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    double mtime = mtime_of(path);

    put_link(f, hello_hash, path, 5, mtime);
    expect(f, "untouched", hello_hash, STORE_LINK, STORE_OK, path);
    put_link(f, hello_hash, path, 5, mtime - 1);
    expect(f, "touched", hello_hash, STORE_LINK, STORE_TOUCHED, path);
    put_link(f, hello_hash, path, 6, mtime);
    expect(f, "other size", hello_hash, STORE_LINK, STORE_STALE, path);
    const char *gone = fixture_path(f, "data/gone");
    put_link(f, hello_hash, gone, 5, mtime);
    expect(f, "target missing", hello_hash, STORE_LINK, STORE_MISSING, gone);
    put_link(f, hello_hash, fixture_path(f, "data"), 5, mtime);
    expect(f, "target a directory", hello_hash, STORE_LINK, STORE_MISSING,
           fixture_path(f, "data"));
    put_link(f, hello_hash, "/proc/self/mem/x", 5, mtime);
    expect(f, "target below a file", hello_hash, STORE_LINK, STORE_MISSING, "/proc/self/mem/x");

    struct buf file = {0};
    struct err e;
    store_put_link_path(&f->store, hello_hash, &file);
    assert_int_equal(newfile_put(buf_cstr(&file), STR("{\"path\": \"/a"), 0, &e), 0);
    expect(f, "record half written", hello_hash, STORE_LINK, STORE_ABSENT, NULL);
    buf_free(&file);
}

/* The halves of store_lookup: the first must not touch the target. */
static void record_first_then_target(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct store_entry entry = {0};
    struct err e;

    put_link(f, hello_hash, "/nowhere/at all", 77, 1.5);
    assert_int_equal(store_lookup_record(&f->store, hello_hash, &entry, &e), 0);
    assert_int_equal(entry.state, STORE_UNCHECKED);
    assert_string_equal(entry.path, "/nowhere/at all");
    assert_int_equal(entry.size, 77);
    assert_true(entry.mtime == 1.5);
    store_check_target(&entry);
    assert_int_equal(entry.state, STORE_MISSING);
    assert_int_equal(entry.size, 77);
    store_entry_deinit(&entry);

    put_link(f, hello_hash, path, 5, mtime_of(path));
    put_copy(f, hello_hash, "");
    assert_int_equal(store_lookup_record(&f->store, hello_hash, &entry, &e), 0);
    assert_int_equal(entry.state, STORE_UNCHECKED);
    store_check_target(&entry);
    assert_int_equal(entry.state, STORE_OK);
    store_entry_deinit(&entry);
}

static void record_of_another_hash_is_no_link(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct record r = {.path = (char *)path, .size = 5, .mtime = mtime_of(path)};
    struct buf file = {0};
    struct err e;

    memcpy(r.hash, hello_hash, sizeof r.hash);
    store_put_link_path(&f->store, empty_hash, &file);
    assert_int_equal(record_write(&f->store, buf_cstr(&file), &r, 0, &e), 0);
    expect(f, "another hash inside", empty_hash, STORE_LINK, STORE_ABSENT, NULL);
    buf_free(&file);
}

static void find_hashes_a_touched_link(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct store_entry entry = {0};

    put_link(f, hello_hash, path, 5, mtime_of(path) - 1);
    assert_int_equal(find(f, "", &entry), 0);
    assert_int_equal(entry.state, STORE_OK);
    assert_string_equal(entry.path, path);
    store_entry_deinit(&entry);
    expect(f, "the record was rewritten", hello_hash, STORE_LINK, STORE_OK, path);

    fixture_write(f, "data/hello", STR("jello"), 1700000001);
    assert_int_equal(find(f, "", &entry), 0);
    assert_int_equal(entry.state, STORE_STALE);
    store_entry_deinit(&entry);
    expect(f, "the record was left", hello_hash, STORE_LINK, STORE_TOUCHED, path);
}

static void find_honours_a_location(void **state)
{
    static const struct {
        const char *name, *location; /* relative to the fixture unless is_verbatim */
        const char *found;           /* likewise; NULL: none */
        bool is_verbatim;
    } cases[] = {
        {"right file", "data/a file", "data/a file", false},
        {"other bytes", "data/other", NULL, false},
        {"missing", "data/none", NULL, false},
        {"directory", "data", NULL, false},
        {"not decoded", "data/a%20file", NULL, false},
        {"relative", "data/a file", NULL, true},
        {"none", "", NULL, true},
        {"another item behind it", "data/a file&label=x", "data/a file", false},
        {"another question mark", "data/a file?x", "data/a file", false},
        {"ampersand", "data/other&b", "data/other&b", false},
        {"question mark", "data/other?", "data/other?", false},
        {"equals sign", "data/=", "data/=", false},
        {"all of them", "data/other&b?c=d&location=/e", "data/other&b?c=d&location=/e", false},
        {"ends behind the file", "data/other&b&", NULL, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        if (cases[i].found != NULL)
            fixture_write(f, cases[i].found, STR("hello"), 1700000000);
    fixture_write(f, "data/other", STR("jello"), 1700000000);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const char *location = cases[i].location, *found = cases[i].found;
        struct store_entry entry = {0};
        if (!cases[i].is_verbatim)
            location = fixture_path(f, location);
        unit_true(cases[i].name, find(f, location, &entry) == 0);
        unit_true(cases[i].name, entry.state == (found != NULL ? STORE_OK : STORE_ABSENT));
        if (found != NULL)
            unit_equal(cases[i].name, entry.path, fixture_path(f, found));
        store_entry_deinit(&entry);
    }
}

static void refresh_leaves_a_newer_link(void **state)
{
    struct fixture *f = *state;
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    struct file_id id;
    struct stat st;
    struct err e;

    assert_int_equal(stat(path, &st), 0);
    id = file_id_of(&st);
    put_link(f, hello_hash, path, 5, 1);
    assert_int_equal(store_refresh_link(&f->store, hello_hash, "/elsewhere", 5, 2, &id, &e), 0);
    expect(f, "not rewritten", hello_hash, STORE_LINK, STORE_TOUCHED, path);
    assert_int_equal(
        store_refresh_link(&f->store, hello_hash, path, 5, mtime_of(path), &id, &e), 0);
    expect(f, "rewritten", hello_hash, STORE_LINK, STORE_OK, path);
}

static void environment(void **state)
{
    static const struct {
        const char *name, *dir, *home, *sandbox, *sandbox_dir, *want, *want_key;
    } cases[] = {
        {"set", "/a/b", "/home/u", NULL, NULL, "/a/b", "/a/b"},
        {"trailing slashes", "/a/b//", NULL, NULL, NULL, "/a/b", "/a/b"},
        {"home", NULL, "/home/u", NULL, NULL, "/home/u/.kachery-cloud",
         "/home/u/.kachery-cloud"},
        {"empty counts as unset", "", "/home/u", NULL, NULL, "/home/u/.kachery-cloud",
         "/home/u/.kachery-cloud"},
        {"home is the root", NULL, "/", NULL, NULL, "/.kachery-cloud", "/.kachery-cloud"},
        {"nothing", NULL, NULL, NULL, NULL, NULL, NULL},
        {"sandbox: keys from the normal one", "/a", NULL, "1", "/s", "/s", "/a"},
        {"sandbox not asked for", "/a", NULL, "0", "/s", "/a", "/a"},
        {"sandbox without its directory", "/a", NULL, "1", NULL, NULL, NULL},
    };
    static const char *const names[] = {"KACHERY_CLOUD_DIR", "HOME", "KACHERY_CLOUD_USE_SANDBOX",
                                        "KACHERY_CLOUD_SANDBOX_DIR"};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const char *values[] = {cases[i].dir, cases[i].home, cases[i].sandbox,
                                cases[i].sandbox_dir};
        struct store s;
        struct err e = {0};
        for (size_t k = 0; k < UNIT_COUNT(names); k++)
            values[k] == NULL ? unsetenv(names[k]) : setenv(names[k], values[k], 1);
        int status = store_init(&s, &e);
        unit_true(cases[i].name, (status == 0) == (cases[i].want != NULL));
        if (status == 0) {
            unit_equal(cases[i].name, s.dir, cases[i].want);
            unit_equal(cases[i].name, s.key_dir, cases[i].want_key);
            store_deinit(&s);
        }
    }
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(copies),
        WITH_STORE(links),
        WITH_STORE(record_first_then_target),
        WITH_STORE(record_of_another_hash_is_no_link),
        WITH_STORE(find_hashes_a_touched_link),
        WITH_STORE(find_honours_a_location),
        WITH_STORE(refresh_leaves_a_newer_link),
        cmocka_unit_test(environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
