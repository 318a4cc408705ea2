/* Errors as data: messages, their limit, wrapping. */
#include "unit.h"

#include <errno.h>

#include "base/err.h"

static void test_messages(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(err_set(&e, ERR_REFUSED, "%s: %d", "a", 5), -1);
    assert_int_equal(e.code, ERR_REFUSED);
    unit_equal("set", e.msg, "a: 5");
    assert_int_equal(err_wrap(&e, "load %s", "sha1://x"), -1);
    assert_int_equal(e.code, ERR_REFUSED);
    unit_equal("wrapped", e.msg, "load sha1://x: a: 5");
    assert_int_equal(err_errno(&e, ERR_FAILED, ENOENT, "cannot open %s", "f"), -1);
    unit_equal("errno", e.msg, "cannot open f: No such file or directory");
    assert_int_equal(err_set(&e, ERR_FAILED, "%s", e.msg), -1);
    unit_equal("from itself", e.msg, "cannot open f: No such file or directory");
    assert_int_equal(err_wrap(&e, "%s", e.msg), -1);
    assert_int_equal(err_set(ERR_IGNORED, ERR_FAILED, "x") & err_wrap(ERR_IGNORED, "x"), -1);
}

static void test_copies(void **state)
{
    struct err cause = {0}, e = {0};

    (void)state;
    err_set(&cause, ERR_NOT_FOUND, "no file");
    assert_int_equal(err_copy(&e, &cause), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    unit_equal("copied", e.msg, "no file");
    assert_int_equal(err_from(&e, ERR_FAILED, &cause), -1);
    assert_int_equal(e.code, ERR_FAILED);
    unit_equal("the words of its cause", e.msg, "no file");
    assert_int_equal(cause.code, ERR_NOT_FOUND);
    assert_int_equal(err_from(&cause, ERR_TIMEOUT, &cause), -1);
    assert_int_equal(cause.code, ERR_TIMEOUT);
    unit_equal("from itself", cause.msg, "no file");
}

/* However the limit falls into a sequence, the message stays UTF-8 and as long as it can be. */
static void test_cut(void **state)
{
    static const char *const units[] = {"x", "é", "€", "𝄞"};
    char text[ERR_MESSAGE_SIZE + 100];
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(units); i++)
        for (size_t shift = 0; shift < 5; shift++) {
            memset(text, '-', shift);
            text[shift] = '\0';
            while (strlen(text) < ERR_MESSAGE_SIZE)
                memcpy(text + strlen(text), units[i], strlen(units[i]) + 1);
            err_set(&e, ERR_FAILED, "%s", text);
            unit_true(units[i], str_is_utf8(str_of(e.msg)));
            unit_true(units[i], strlen(e.msg) > ERR_MESSAGE_SIZE - 1 - strlen(units[i]));
            unit_true(units[i], strncmp(e.msg, text, strlen(e.msg)) == 0);
            err_wrap(&e, "%.*s", (int)shift, "-----");
            unit_true(units[i], str_is_utf8(str_of(e.msg)));
            err_errno(&e, ERR_FAILED, ENOENT, "%s", text);
            unit_true(units[i], str_is_utf8(str_of(e.msg)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
