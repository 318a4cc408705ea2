/* Paths below /f/: hashes and share links, and the relay that each belongs to. */
#include "unit.h"

#include "proxy/range_path.h"
#include "proxy/range_server.h"

#define SHA1  "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
#define TOKEN "aa12345678abcdefghijklmnopqrstuv-_"

static const struct path_case {
    const char *path, *sha1, *token, *name; /* sha1 and token NULL: no file */
} cases[] = {
    {"/f/" SHA1, SHA1, "", ""},
    {"/f/" SHA1 ".86f7e437/a", SHA1, "", "a"},
    {"/f/" SHA1 ".86f7e437/%61", SHA1, "", "a"},
    {"/f/~" TOKEN "/a", "", TOKEN, "a"},
    {"/f/%7E" TOKEN "/a", "", TOKEN, "a"},
    {"/f/%7e" TOKEN "/a", "", TOKEN, "a"},
    {"/f/~" TOKEN "/a/b%20c.h5", "", TOKEN, "a/b c.h5"},
    {"/f/~" TOKEN "/~", "", TOKEN, "~"},
    {"/f/~x/a", "", "x", "a"}, /* links_read_token looks at it */
    {"/f/" SHA1 ".86f7e437/b", NULL, NULL, ""},
    {"/f/" SHA1 "/", NULL, NULL, ""},
    {"/f/~" TOKEN, NULL, NULL, ""},
    {"/f/~" TOKEN "/", NULL, NULL, ""},
    {"/f/~" TOKEN "/a/", NULL, NULL, ""},
    {"/f/~" TOKEN "/%", NULL, NULL, ""},
    {"/f/~", NULL, NULL, ""},
    {"/f/~/a", NULL, NULL, ""},
    {"/f/%7", NULL, NULL, ""},
    {"/f/" TOKEN "/a", NULL, NULL, ""},
    {"/f/", NULL, NULL, ""},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct path_case *c = &cases[i];
        struct range_path path;
        unit_true(c->path, range_path_parse(&path, str_of(c->path)) == (c->token != NULL));
        if (c->token != NULL) {
            unit_equal_str(c->path, path.sha1, str_of(c->sha1));
            unit_equal_str(c->path, path.token, str_of(c->token));
            unit_equal_str(c->path, buf_str(&path.name), str_of(c->name));
        }
        range_path_deinit(&path);
    }
}

/* A link is served by the relay of its file. */
static void test_keys(void **state)
{
    static const char *const same[] = {"/f/" SHA1, "/f/~" TOKEN "/a", "/f/%7E" TOKEN "/a",
                                       "/f/%7e" TOKEN};
    static const char *const none[] = {"/f/", "/f/~", "/f/%7E", "/f/%7Ezz", "/f/x", "/f", ""};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(same); i++)
        unit_true(same[i], range_server_key(str_of(same[i])) == 0xaa);
    for (size_t i = 0; i < UNIT_COUNT(none); i++)
        unit_true(none[i], range_server_key(str_of(none[i])) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
