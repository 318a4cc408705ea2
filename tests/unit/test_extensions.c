/* What a head announces, and what is in a list of names. */
#include "proto/extensions.h"

#include "unit.h"

static void test_read(void **state)
{
    static const struct {
        const char *name, *headers, *before, *after;
        bool is_announced;
    } cases[] = {
        {"none", "Date: x\r\n", "links", "links", false},
        {"one", "Kachery-Extensions: register\r\n", "links", "register", true},
        {"any case", "kachery-EXTENSIONS: Register\r\n", "", "Register", true},
        {"a list", "Kachery-Extensions: links , register\r\n", "", "links , register", true},
        {"two lines", "Kachery-Extensions: links\r\nKachery-Extensions: register\r\n", "x",
         "links,register", true},
        {"empty", "Kachery-Extensions:\r\n", "links", "", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head_parser parser = {0};
        struct buf text = {0}, names = {0};
        struct http_head head;
        int status;

        buf_printf(&text, "HTTP/1.1 200 OK\r\n%s\r\n", cases[i].headers);
        buf_puts(&names, cases[i].before);
        assert_int_equal(http_head_parse(&parser, HTTP_RESPONSE, buf_str(&text), STR("GET"), &head,
                                         &status, ERR_IGNORED),
                         IO_DONE);
        if (extensions_read(&head, &names) != cases[i].is_announced ||
            !str_equal(buf_str(&names), str_of(cases[i].after)))
            fail_msg("%s: \"%s\"", cases[i].name, buf_cstr(&names));
        buf_free(&text);
        buf_free(&names);
    }
}

static void test_has(void **state)
{
    (void)state;
    assert_true(extensions_has(STR("register"), EXTENSIONS_REGISTER));
    assert_true(extensions_has(STR("links, Register ,x"), EXTENSIONS_REGISTER));
    assert_false(extensions_has(STR(""), EXTENSIONS_REGISTER));
    assert_false(extensions_has(STR("registers, unregister"), EXTENSIONS_REGISTER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_has)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
