/* Trees in byte order, and what of the store's folders counts as its content. */
#include "store_fixture.h"

#include <sys/stat.h>

#include "store/add.h"
#include "store/record.h"
#include "store/tree.h"

static const char hello_hash[] = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"; /* "hello" */

/* The paths below `root`, without it, one per line; bad ones with '!' in front. */
static char *walk(const char *root, const char *below, const struct stat *skipped)
{
    struct err e = {0};
    struct tree *tree = tree_open(below, &(struct tree_options){.skipped = skipped}, &e);
    struct buf text = {0};
    enum tree_step step;
    const char *path;
    int64_t size;

    assert_non_null(tree);
    while ((step = tree_next(tree, &path, &size, &e)) != TREE_END)
        buf_printf(&text, "%s%s\n", step == TREE_BAD ? "!" : "", path + strlen(root) + 1);
    assert_int_equal(tree_next(tree, &path, &size, &e), TREE_END);
    tree_close(tree);
    return buf_take(&text);
}

static void whole_paths_come_in_byte_order(void **state)
{
    static const char *const names[] = {"t/a/f",   "t/a.txt", "t/a-b/g", "t/a",
                                        "t/B",     "t/z/y/x", "t/\xff",  "t/\xc3\xa4",
                                        "t/a/b/c", "t/new\nline", "t/-r"};
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(names); i++)
        if (strcmp(names[i], "t/a") != 0)
            fixture_write(f, names[i], STR("x"), 1);
    assert_int_equal(mkdir(fixture_path(f, "t/empty"), 0777), 0);
    char *text = walk(f->dir, fixture_path(f, "t"), NULL);
    unit_equal("order", text,
               "t/-r\nt/B\nt/a-b/g\nt/a.txt\nt/a/b/c\nt/a/f\nt/new\nline\nt/z/y/x\nt/\xc3\xa4\n"
               "t/\xff\n");
    free(text);
    text = walk(f->dir, fixture_path(f, "t/z//"), NULL);
    unit_equal("slashes are kept", text, "t/z//y/x\n");
    free(text);
}

static void links_and_odd_files(void **state)
{
    struct fixture *f = *state;
    struct stat skipped;

    fixture_write(f, "t/dir/file", STR("x"), 1);
    assert_int_equal(symlink("dir/file", fixture_path(f, "t/to file")), 0);
    assert_int_equal(symlink("dir", fixture_path(f, "t/to dir")), 0);
    assert_int_equal(symlink("loop", fixture_path(f, "t/loop")), 0);
    assert_int_equal(symlink("nothing", fixture_path(f, "t/dangling")), 0);
    assert_int_equal(mkfifo(fixture_path(f, "t/fifo"), 0666), 0);
    fixture_write(f, "t/skipped/file", STR("x"), 1);
    assert_int_equal(stat(fixture_path(f, "t/skipped"), &skipped), 0);
    char *text = walk(f->dir, fixture_path(f, "t"), &skipped);
    unit_equal("links", text, "!t/dangling\nt/dir/file\n!t/fifo\n!t/loop\nt/to file\n");
    free(text);
    text = walk(f->dir, fixture_path(f, "t/to dir"), NULL);
    unit_equal("a link to a directory as the root", text, "t/to dir/file\n");
    free(text);
    text = walk(f->dir, fixture_path(f, "t/none"), NULL);
    unit_equal("missing root", text, "!t/none\n");
    free(text);
}

/* Deeper than a path may be long: the end is told, the rest goes on. */
static void deeper_than_paths_can_tell(void **state)
{
    struct fixture *f = *state;
    char name[201];
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY);

    memset(name, 'n', 200);
    name[200] = '\0';
    for (int i = 0; i < 25; i++) {
        assert_int_equal(mkdirat(fd, name, 0777), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    fixture_write(f, "zzz", STR("x"), 1);
    char *text = walk(f->dir, f->dir, NULL);
    unit_true("deep", text[0] == '!');
    unit_true("deep", strstr(text, "\nzzz\n") != NULL);
    free(text);
    for (int i = 0; i < 25; i++) { /* nftw cannot reach them either */
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY);
        assert_int_equal(unlinkat(up, name, AT_REMOVEDIR), 0);
        close(fd);
        fd = up;
    }
    close(fd);
}

static void put_copy(const struct fixture *f, const char *below)
{
    char name[256];

    snprintf(name, sizeof name, "store/%s", below);
    fixture_write(f, name, STR("hello"), 1700000000);
}

static void content_of_the_store(void **state)
{
    struct fixture *f = *state;
    struct buf text = {0};
    struct add_staged added;
    struct err e = {0};
    char hash[SHA1_HEX + 1];

    struct store_list *empty = store_list_open(&f->store, &e);
    struct store_entry entry = {0};
    assert_non_null(empty);
    assert_int_equal(store_list_next(empty, hash, &entry, &e), 0);
    store_list_close(empty);

    put_copy(f, "sha1/aa/f4/c6/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    put_copy(f, "sha1/aa/f4/c6/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d.tmp.12345678");
    put_copy(f, "sha1/aa/f4/c6/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d.1234567890");
    put_copy(f, "sha1/aa/f4/c6/AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D");
    put_copy(f, "sha1/bb/f4/c6/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    put_copy(f, "sha1/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    put_copy(f, "sha1/copy.tmp.12345678");
    put_copy(f, "linked_files/sha1/00/00/00/0000000000000000000000000000000000000000");
    const char *path = fixture_write(f, "data/hello", STR("hello"), 1700000000);
    assert_int_equal(add_file(&f->store, STORE_LINK, path, NULL, &added, &e), 0);

    struct store_list *list = store_list_open(&f->store, &e);
    assert_non_null(list);
    while (store_list_next(list, hash, &entry, &e) > 0) {
        assert_string_equal(hash, hello_hash);
        buf_printf(&text, "%s %s %s\n", store_kind_name(entry.kind),
                   store_state_name(entry.state), entry.path + strlen(f->dir));
        store_entry_deinit(&entry);
    }
    store_list_close(list);
    unit_equal("listed", buf_cstr(&text),
               "copy ok /store/sha1/aa/f4/c6/aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\n"
               "link ok /data/hello\n");
    buf_free(&text);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(whole_paths_come_in_byte_order),
        WITH_STORE(links_and_odd_files),
        WITH_STORE(deeper_than_paths_can_tell),
        WITH_STORE(content_of_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
