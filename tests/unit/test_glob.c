/* Patterns for names and paths. */
#include <string.h>

#include "base/glob.h"
#include "unit.h"

static void test_matches(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool is_match;
    } cases[] = {
        {"a", "a", true},           {"a", "b", false},          {"a", "ab", false},
        {"*", "", true},            {"*", "abc", true},         {"*", "a/b", false},
        {"*.tmp", "x.tmp", true},   {"*.tmp", ".tmp", true},    {"*.tmp", "x.tmpy", false},
        {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXbYbZ", false}, {"*a", "aaaa", true},
        {"?", "x", true},           {"?", "\xc3\xa4", true},    {"?", "\xff", true},
        {"?", "/", false},          {"??", "\xc3\xa4", false},  {"?", "", false},
        {"[abc]", "b", true},       {"[abc]", "d", false},      {"[a-c]x", "bx", true},
        {"[!a-c]", "d", true},      {"[^a-c]", "b", false},     {"[]]", "]", true},
        {"[a-]", "-", true},        {"[\\]]", "]", true},       {"[!a]", "/", false},
        {"[\xc3\xa4]", "\xc3\xa4", true}, {"[a-\xc3\xbf]", "\xc3\xa4", true},
        {"[", "[", true},           {"\\*", "*", true},         {"\\*", "x", false},
        {"\\", "\\", true},         {"raw/*.log", "raw/a.log", true},
        {"raw/*.log", "raw/b/a.log", false},
        {"**/a", "a", true},        {"**/a", "x/y/a", true},    {"**/a", "x/ya", false},
        {"a/**", "a/b", true},      {"a/**", "a/b/c", true},    {"a/**", "a", false},
        {"a/**/b", "a/b", true},    {"a/**/b", "a/x/y/b", true}, {"a/**/b", "a/x/y/bb", false},
        {"**", "a/b", true},        {"a**b", "axxb", true},     {"a**b", "a/b", false},
        {"**/a*/b*", "x/a1/c/a2/b", true},                      {"**/a*/b*", "x/a1/c/b", false},
        {"**/x/**/y", "a/x/b/x/c/y", true},                     {"*/*", "a/b", true},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        if (glob_matches(cases[i].pattern, cases[i].path) != cases[i].is_match)
            fail_msg("%s %s %s", cases[i].pattern, cases[i].is_match ? "misses" : "matches",
                     cases[i].path);
}

/* What takes a backtracking matcher the age of the universe. */
static void test_many_stars(void **state)
{
    char pattern[2001] = "", path[4001] = "";

    (void)state;
    for (size_t i = 0; i < 1998; i += 2)
        memcpy(pattern + i, "*a", 3);
    memset(path, 'a', 4000);
    assert_true(glob_matches(pattern, path));
    strcat(pattern, "b");
    assert_false(glob_matches(pattern, path));
    pattern[0] = '\0';
    for (size_t i = 0; i < 1000; i += 5)
        memcpy(pattern + i, "**/a/", 6);
    for (size_t i = 0; i < 4000; i += 2)
        memcpy(path + i, "a/", 2);
    assert_true(glob_matches(pattern, path));
    strcat(pattern, "b");
    assert_false(glob_matches(pattern, path));
}

static void test_excludes(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool is_directory, is_excluded;
    } cases[] = {
        {"*.tmp", "a/b/x.tmp", false, true},   {"*.tmp", "a.tmp/x", false, false},
        {"*.tmp", "x.tmp", true, true},        {"cache", "a/cache", true, true},
        {"cache/", "a/cache", true, true},     {"cache/", "a/cache", false, false},
        {"cache//", "cache", true, true},      {"/cache", "cache", false, true},
        {"/cache", "a/cache", false, false},   {"a/cache", "a/cache", true, true},
        {"a/cache", "b/a/cache", true, false}, {"/a/cache/", "a/cache", false, false},
        {"**/a/x", "b/a/x", false, true},      {".*", "a/.git", true, true},
        {"raw/*", "raw/x", false, true},       {"raw/*", "raw/x/y", false, false},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        if (glob_excludes(cases[i].pattern, cases[i].path, cases[i].is_directory) !=
            cases[i].is_excluded)
            fail_msg("%s, %s", cases[i].pattern, cases[i].path);
}

static void test_check(void **state)
{
    static const char *const good[] = {"*", "a/", "/a", "[]a]", "\\[", "a[!b]", ".*", "..."};
    static const char *const bad[] = {"", "/", "//", "[a", "[]", "a[!", "[[:alpha:]]", "./a",
                                      "../a"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(good); i++)
        unit_true(good[i], glob_check(good[i], &e) == 0);
    for (size_t i = 0; i < UNIT_COUNT(bad); i++)
        unit_true(bad[i], glob_check(bad[i], &e) != 0 && e.code == ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_many_stars),
        cmocka_unit_test(test_excludes),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
