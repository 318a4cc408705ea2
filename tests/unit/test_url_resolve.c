#include "proto/url.h"
#include "unit.h"

/* RFC 3986 §5.4, as far as it is about http; then what servers send. */
static const struct {
    const char *base, *reference, *want;
} cases[] = {
#define A "http://a/b/c/d;p?q"
    {A, "g", "http://a/b/c/g"},
    {A, "./g", "http://a/b/c/g"},
    {A, "g/", "http://a/b/c/g/"},
    {A, "/g", "http://a/g"},
    {A, "//g", "http://g"},
    {A, "?y", "http://a/b/c/d;p?y"},
    {A, "g?y", "http://a/b/c/g?y"},
    {A, "#s", "http://a/b/c/d;p?q"},
    {A, "g#s", "http://a/b/c/g"},
    {A, "g?y#s", "http://a/b/c/g?y"},
    {A, ";x", "http://a/b/c/;x"},
    {A, "g;x?y#s", "http://a/b/c/g;x?y"},
    {A, "", "http://a/b/c/d;p?q"},
    {A, ".", "http://a/b/c/"},
    {A, "./", "http://a/b/c/"},
    {A, "..", "http://a/b/"},
    {A, "../", "http://a/b/"},
    {A, "../g", "http://a/b/g"},
    {A, "../..", "http://a/"},
    {A, "../../g", "http://a/g"},
    {A, "../../../g", "http://a/g"},
    {A, "../../../../g", "http://a/g"},
    {A, "/./g", "http://a/g"},
    {A, "/../g", "http://a/g"},
    {A, "g.", "http://a/b/c/g."},
    {A, "..g", "http://a/b/c/..g"},
    {A, "./../g", "http://a/b/g"},
    {A, "./g/.", "http://a/b/c/g/"},
    {A, "g/./h", "http://a/b/c/g/h"},
    {A, "g/../h", "http://a/b/c/h"},
    {A, "g?y/./x", "http://a/b/c/g?y/./x"},
    {A, "g?y/../x", "http://a/b/c/g?y/../x"},
    {A, "https://e/f?g", "https://e/f?g"},
    {A, "HTTP://e", "HTTP://e"},
    {"https://a:8443", "g", "https://a:8443/g"},
    {"https://a:8443", "/g", "https://a:8443/g"},
    {"https://a:8443?q", "", "https://a:8443?q"},
    {"https://a:443/x", "y", "https://a/y"},
    {"http://user:password@a/x", "/y", "http://a/y"},
    {"http://[::1]:8080/x/y", "z", "http://[::1]:8080/x/z"},
    {"http://a/x", "//b:1/y", "http://b:1/y"},
    {"http://a/x", "y:z", "y:z"},
    {"http://a/x", "./y:z", "http://a/y:z"},
    {"http://a//x//y", "z", "http://a//x//z"},
};

static void references(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct buf out = {0};
        struct url base;
        struct err e;

        if (url_parse(&base, str_of(cases[i].base), &e) != 0)
            fail_msg("%s: %s", cases[i].base, e.msg);
        url_resolve(&out, &base, str_of(cases[i].reference));
        unit_equal_str(cases[i].reference, buf_str(&out), str_of(cases[i].want));
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(references)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
