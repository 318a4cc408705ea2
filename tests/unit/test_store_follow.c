/* Whose symbolic links are followed, and what is swapped between looking and opening. */
#include "store_fixture.h"

#include "store/hash.h"
#include "store/tree.h"

enum { SELF = 0, STRANGER = 54321, OTHER = 54322 };

static void put_link(const struct fixture *f, const char *text, const char *name, uid_t owner)
{
    const char *path = fixture_path(f, name);

    unlink(path);
    assert_int_equal(symlink(text, path), 0);
    assert_int_equal(lchown(path, owner, owner), 0);
}

static void put_file(const struct fixture *f, const char *name, uid_t owner, mode_t mode)
{
    const char *path = fixture_write(f, name, str_of(name), 1700000000);

    assert_int_equal(chown(path, owner, owner), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* The paths of the tree, those that are refused with '!' and all others that are bad with '?'. */
static char *walk(const struct fixture *f, const char *below)
{
    char root[512];
    struct err e = {0};
    struct buf text = {0};
    enum tree_step step;
    const char *path;
    int64_t size;

    snprintf(root, sizeof root, "%s", fixture_path(f, below));
    struct tree *tree = tree_open(root, NULL, &e);
    assert_non_null(tree);
    while ((step = tree_next(tree, &path, &size, &e)) != TREE_END) {
        const char *mark = step == TREE_FILE ? "" : e.code == ERR_REFUSED ? "!" : "?";
        buf_printf(&text, "%s%s ", mark, path + strlen(root) + 1);
    }
    tree_close(tree);
    return buf_take(&text);
}

static void whose_links_are_followed(void **state)
{
    struct fixture *f = *state;

    put_file(f, "out/mine", SELF, 0600);
    put_file(f, "out/theirs", STRANGER, 0644);
    put_file(f, "out/open", SELF, 0644);
    put_file(f, "t/in/file", SELF, 0600);
    put_link(f, "../out/mine", "t/01 own", SELF);
    put_link(f, "../out/mine", "t/02 a stranger's", STRANGER);
    put_link(f, "../out/open", "t/03 readable by all", STRANGER);
    put_link(f, "../out/theirs", "t/04 of the target's owner", STRANGER);
    put_link(f, "../out/theirs", "t/05 of a third", OTHER);
    put_link(f, "in/file", "t/06 inside", STRANGER);
    put_link(f, "../t/in/../in/file", "t/07 inside, by the outside", STRANGER);
    put_link(f, "02 a stranger's", "t/08 own, over a stranger's", SELF);
    put_link(f, "01 own", "t/09 a stranger's, over an own", STRANGER);
    put_link(f, "../out", "t/10 a directory", STRANGER);
    put_link(f, "10 a directory/mine", "t/11 own, over a directory", SELF);
    put_link(f, fixture_path(f, "out/mine"), "t/12 absolute", STRANGER);
    put_link(f, fixture_path(f, "t/in/file"), "t/13 absolute inside", STRANGER);
    put_link(f, "../out/none", "t/14 dangling", STRANGER);
    put_link(f, "../out/mine/", "t/15 a file with a slash", SELF);
    put_link(f, "16 loop", "t/16 loop", STRANGER);
    char *text = walk(f, "t");
    unit_equal("a tree", text,
               "01 own !02 a stranger's !03 readable by all 04 of the target's owner "
               "!05 of a third 06 inside 07 inside, by the outside !08 own, over a stranger's "
               "!09 a stranger's, over an own !11 own, over a directory "
               "!12 absolute 13 absolute inside ?14 dangling ?15 a file with a slash ?16 loop "
               "in/file ");
    free(text);
}

static int hash_listed(const char *path, struct err *e)
{
    const struct follow listed = {.kind = FOLLOW_LISTED};
    struct stat st;
    int fd;

    if (hash_open(path, &listed, &fd, &st, e) != 0)
        return -1;
    close(fd);
    return 0;
}

static void links_in_lists(void **state)
{
    static const struct {
        const char *name;
        bool is_followed;
    } cases[] = {
        {"l/plain", true},   {"l/own", true},        {"l/hidden", false}, {"l/open", true},
        {"l/shut", false},   {"l/dir/mine", false},  {"l/dir/open", true},
        {"l/dir/../out/mine", false},
    };
    struct fixture *f = *state;
    struct err e;

    assert_int_equal(chmod(f->dir, 0755), 0);
    put_file(f, "out/mine", SELF, 0600);
    put_file(f, "out/open", SELF, 0644);
    put_file(f, "shut/open", SELF, 0644);
    assert_int_equal(chmod(fixture_path(f, "shut"), 0700), 0);
    assert_int_equal(chmod(fixture_path(f, "out"), 0755), 0);
    put_file(f, "l/plain", STRANGER, 0600);
    put_link(f, "../out/mine", "l/own", SELF);
    put_link(f, "../out/mine", "l/hidden", STRANGER);
    put_link(f, "../out/open", "l/open", STRANGER);
    put_link(f, "../shut/open", "l/shut", STRANGER);
    put_link(f, "../out", "l/dir", STRANGER);
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        e = (struct err){0};
        int status = hash_listed(fixture_path(f, cases[i].name), &e);
        unit_true(cases[i].name, (status == 0) == cases[i].is_followed);
        unit_true(cases[i].name, status == 0 || e.code == ERR_REFUSED);
    }
}

/* What a tree told of, opened after somebody has put something else there. */
static int open_after(const struct fixture *f, void (*swap)(const struct fixture *f),
                      struct err *e)
{
    struct tree *tree = tree_open(fixture_path(f, "t"), NULL, e);
    const char *path;
    struct stat st;
    int64_t size;
    int fd, status;

    assert_non_null(tree);
    assert_int_equal(tree_next(tree, &path, &size, e), TREE_FILE);
    swap(f);
    status = hash_open(path, tree_follow(tree), &fd, &st, e);
    if (status == 0)
        close(fd);
    tree_close(tree);
    return status;
}

static void swap_nothing(const struct fixture *f)
{
    (void)f;
}

static void swap_file_for_file(const struct fixture *f)
{
    put_file(f, "t/sub/deep/new", STRANGER, 0644);
    assert_int_equal(
        rename(fixture_path(f, "t/sub/deep/new"), fixture_path(f, "t/sub/deep/key")), 0);
}

static void swap_file(const struct fixture *f)
{
    put_link(f, "../../../out/deep/key", "t/sub/deep/key", STRANGER);
}

static void swap_parent(const struct fixture *f)
{
    assert_int_equal(rename(fixture_path(f, "t/sub/deep"), fixture_path(f, "t/sub/away")), 0);
    put_link(f, "../../out/deep", "t/sub/deep", STRANGER);
}

static void swap_grandparent(const struct fixture *f)
{
    assert_int_equal(rename(fixture_path(f, "t/sub"), fixture_path(f, "t/away")), 0);
    put_link(f, "../out", "t/sub", STRANGER);
}

static void swap_root(const struct fixture *f)
{
    assert_int_equal(rename(fixture_path(f, "t"), fixture_path(f, "away")), 0);
    put_link(f, "other", "t", STRANGER);
}

static void swapped_after_the_look(void **state)
{
    static const struct {
        const char *name;
        void (*swap)(const struct fixture *f);
        bool is_opened;
    } cases[] = {
        {"nothing", swap_nothing, true},        {"another file", swap_file_for_file, true},
        {"the file", swap_file, false},         {"its directory", swap_parent, false},
        {"one above", swap_grandparent, false}, {"the root", swap_root, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct err e = {0};
        nftw(fixture_path(f, "t"), fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        put_file(f, "out/deep/key", SELF, 0600);
        put_file(f, "other/sub/deep/key", SELF, 0600);
        put_file(f, "t/sub/deep/key", STRANGER, 0644);
        int status = open_after(f, cases[i].swap, &e);
        unit_true(cases[i].name, (status == 0) == cases[i].is_opened);
        if (!cases[i].is_opened)
            unit_true(cases[i].name, e.code == ERR_REFUSED);
    }
}

/* The directory of the file before is held: its next file is still that one, or none. */
static void swapped_between_two_files(void **state)
{
    static const struct {
        const char *name;
        void (*swap)(const struct fixture *f);
        bool is_opened;
    } cases[] = {
        {"nothing", swap_nothing, true},
        {"another file beside it", swap_file_for_file, true},
        {"their directory", swap_parent, false},
        {"one above", swap_grandparent, true},
    };
    struct fixture *f = *state;
    const char *path;
    struct stat st;
    int64_t size;
    int fd;

    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct err e = {0};
        nftw(fixture_path(f, "t"), fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        put_file(f, "out/deep/more", SELF, 0600);
        put_file(f, "t/sub/deep/key", STRANGER, 0644);
        put_file(f, "t/sub/deep/more", STRANGER, 0644);
        struct tree *tree = tree_open(fixture_path(f, "t"), NULL, &e);
        assert_int_equal(tree_next(tree, &path, &size, &e), TREE_FILE);
        assert_int_equal(hash_open(path, tree_follow(tree), &fd, &st, &e), 0);
        close(fd);
        assert_int_equal(tree_next(tree, &path, &size, &e), TREE_FILE);
        cases[i].swap(f);
        int status = hash_open(path, tree_follow(tree), &fd, &st, &e);
        unit_true(cases[i].name, (status == 0) == cases[i].is_opened);
        unit_true(cases[i].name, status == 0 ? st.st_uid == STRANGER : e.code == ERR_REFUSED);
        if (status == 0)
            close(fd);
        tree_close(tree);
    }
}

/* A directory that is swapped while the walk is in it, and more levels than stay open. */
static void swapped_during_the_walk(void **state)
{
    struct fixture *f = *state;
    struct buf name = {0};
    struct err e = {0};
    const char *path;
    int64_t size;

    put_file(f, "out/b", SELF, 0600);
    put_file(f, "t/sub/a", STRANGER, 0644);
    put_file(f, "t/sub/b", STRANGER, 0644);
    struct tree *tree = tree_open(fixture_path(f, "t"), NULL, &e);
    assert_int_equal(tree_next(tree, &path, &size, &e), TREE_FILE);
    assert_int_equal(rename(fixture_path(f, "t/sub"), fixture_path(f, "t/away")), 0);
    put_link(f, "../out", "t/sub", STRANGER);
    assert_int_equal(tree_next(tree, &path, &size, &e), TREE_FILE);
    assert_int_equal(size, strlen("t/sub/b")); /* and not that of out/b */
    tree_close(tree);

    buf_puts(&name, "deep");
    for (int i = 0; i < 120; i++)
        buf_puts(&name, "/d");
    buf_puts(&name, "/file");
    put_file(f, buf_cstr(&name), SELF, 0600);
    put_file(f, "deep/d/d/d/e", SELF, 0600);
    char *text = walk(f, "deep");
    unit_true("deep", str_ends_with(str_of(text), STR("/d/d/file d/d/d/e ")));
    free(text);
    buf_free(&name);
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(whose_links_are_followed), WITH_STORE(links_in_lists),
        WITH_STORE(swapped_after_the_look),   WITH_STORE(swapped_during_the_walk),
        WITH_STORE(swapped_between_two_files),
    };

    if (geteuid() != 0) {
        puts("skipped: files of several users need root");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
