/* Tokens of pages: whose they are, and how long. */
#include "gateway/page_token.h"

#include "unit.h"

static const unsigned char key[] = "a key of thirty-two bytes, it is";
static const unsigned char other_key[] = "b key of thirty-two bytes, it is";
static const int64_t now = INT64_C(1800000000000);

static void test_check(void **state)
{
    struct buf token = {0};

    (void)state;
    page_token_put(&token, key, STR("page 1"), now);
    const struct {
        const char *name;
        const unsigned char *key;
        const char *about;
        int64_t at;
        bool is_valid;
    } cases[] = {
        {"at once", key, "page 1", now, true},
        {"late", key, "page 1", now + PAGE_TOKEN_MS - 1000, true},
        {"too late", key, "page 1", now + PAGE_TOKEN_MS, false},
        {"another page", key, "page 2", now, false},
        {"a longer page", key, "page 1\n", now, false},
        {"another key", other_key, "page 1", now, false},
    };
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        unit_true(cases[i].name, page_token_check(buf_str(&token), cases[i].key,
                                                  str_of(cases[i].about), cases[i].at) ==
                                     cases[i].is_valid);
    buf_free(&token);
}

/* Each byte changed, each length: nothing but the whole token is one. */
static void test_forged(void **state)
{
    struct buf token = {0};

    (void)state;
    page_token_put(&token, key, STR("page"), now);
    for (size_t i = 0; i < token.len; i++) {
        char kept = token.data[i];
        token.data[i] = kept == '1' ? '2' : '1';
        unit_true("changed", !page_token_check(buf_str(&token), key, STR("page"), now));
        token.data[i] = kept;
        struct str cut = str_slice(buf_str(&token), 0, i);
        unit_true("cut", !page_token_check(cut, key, STR("page"), now));
    }
    unit_true("empty", !page_token_check(STR(""), key, STR("page"), now));
    unit_true("dot", !page_token_check(STR("."), key, STR("page"), now));
    unit_true("huge", !page_token_check(STR("99999999999999999999.00"), key, STR("page"), now));
    buf_free(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_check),
                                       cmocka_unit_test(test_forged)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
