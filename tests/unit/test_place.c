/* A place below a folder: missing folders are made, links among them and files in their way are
 * refused, and nothing leads outside. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/place.h"

static char folder[64];

static int set_up(void **state)
{
    char command[512];

    (void)state;
    strcpy(folder, "/tmp/test_place.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(command, sizeof command,
             "cd '%s' && mkdir -p root/there outside && touch root/file outside/file && "
             "ln -s ../outside root/link && ln -s ../outside/file root/last && "
             "ln -s root also_root && ln -s nowhere root/dangling", folder);
    return system(command);
}

static int tear_down(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const struct below_case {
    const char *name, *root, *path;
    bool is_found, is_there;
    const char *made; /* a folder that is there then */
} cases[] = {
    {"a new name", "root", "new", true, false, NULL},
    {"a file", "root", "file", true, true, NULL},
    {"in a folder", "root", "there/new", true, false, "root/there"},
    {"in new folders", "root", "a/b/c", true, false, "root/a/b"},
    {"the root is a link", "also_root", "x/y", true, false, "root/x"},
    {"a link among the folders", "root", "link/new", false, false, NULL},
    {"a link to nothing among them", "root", "dangling/new", false, false, NULL},
    {"a file in the way", "root", "file/new", false, false, NULL},
    {"the last name is a link", "root", "last", true, true, NULL},
    {"no such root", "nothing", "x", false, false, NULL},
    {"the root is a file", "root/file", "x", false, false, NULL},
};

static void test_places_below(void **state)
{
    for (size_t n = 0; n < UNIT_COUNT(cases); n++) {
        const struct below_case *c = &cases[n];
        char root[512];
        struct place place;
        struct err e = {0};
        tear_down(state);
        assert_int_equal(set_up(state), 0);
        snprintf(root, sizeof root, "%s", path_of(c->root));
        bool is_found = place_make_below(root, str_of(c->path), &place, &e) == 0;
        unit_true(c->name, is_found == c->is_found);
        unit_true(c->name, is_found || (e.msg[0] != '\0' && place.dir == -1));
        unit_true(c->name, !is_found || place.is_there == c->is_there);
        unit_true(c->name, c->made == NULL || access(path_of(c->made), X_OK) == 0);
        unit_true(c->name, access(path_of("outside/new"), F_OK) != 0);
        place_close(&place);
    }
}

static void test_a_file_is_made_where_the_folder_is_now(void **state)
{
    struct place place;
    struct err e = {0};
    char root[512], moved[512];

    (void)state;
    snprintf(root, sizeof root, "%s", path_of("root"));
    snprintf(moved, sizeof moved, "%s", path_of("moved"));
    assert_int_equal(place_make_below(root, STR("a/b/new"), &place, &e), 0);
    assert_int_equal(rename(path_of("root/a"), moved), 0);
    assert_int_equal(symlink("../outside", path_of("root/a")), 0); /* a stranger is quick */
    int fd = openat(place.dir, place.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(access(path_of("moved/b/new"), F_OK), 0);
    place_close(&place);
}

static void test_names_that_are_too_long(void **state)
{
    struct place place;
    struct err e = {0};
    char path[5000], root[512];

    (void)state;
    snprintf(root, sizeof root, "%s", path_of("root"));
    memset(path, 'a', sizeof path);
    assert_int_equal(place_make_below(root, (struct str){path, 300}, &place, &e), -1);
    for (size_t n = 100; n < sizeof path; n += 101)
        path[n] = '/';
    assert_int_equal(place_make_below(root, (struct str){path, 4990}, &place, &e), -1);
    place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        ROW(test_places_below),
        ROW(test_a_file_is_made_where_the_folder_is_now),
        ROW(test_names_that_are_too_long),
#undef ROW
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
