/* Kachery URIs, object keys and names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "unit.h"
#include "proto/kachery_uri.h"

#define HASH "17a56544527b002eff0fc7ba16070df264d943c0"

static const struct parse_case {
    const char *name, *text;
    bool user, daemon; /* accepted in this form */
    const char *label, *location, *whole; /* whole: the second reading; NULL for none */
} parse_cases[] = {
    {"bare", "sha1://" HASH, true, true, "", "", NULL},
    {"label", "sha1://" HASH "?label=a%20b.dat", true, true, "a%20b.dat", "", NULL},
    {"location", "sha1://" HASH "?location=/data/a b%20.dat", true, true, "", "/data/a b%20.dat",
     NULL},
    {"both", "sha1://" HASH "?label=l&location=/x", true, true, "l", "/x", NULL},
    {"location, label", "sha1://" HASH "?location=/x&label=l", true, true, "l", "/x", "/x&label=l"},
    {"& in the location", "sha1://" HASH "?location=/x&y", true, true, "", "/x", "/x&y"},
    {"? in the location", "sha1://" HASH "?location=/x?y", true, true, "", "/x", "/x?y"},
    {"= in the location", "sha1://" HASH "?location=/x=y", true, true, "", "", "/x=y"},
    {"= behind &", "sha1://" HASH "?location=/x&y=z=", true, true, "", "/x", "/x&y=z="},
    {"last location", "sha1://" HASH "?location=/x&location=/y", true, true, "", "/y",
     "/x&location=/y"},
    {"no location behind ?", "sha1://" HASH "?label=l?&location=/x", true, true, "l", "", "/x"},
    {"no value", "sha1://" HASH "?location=/x&location&label", true, true, "", "/x",
     "/x&location&label"},
    {"odd bytes", "sha1://" HASH "?location=/\xff\n%41 //../", true, true, "",
     "/\xff\n%41 //../", NULL},
    {"other name", "sha1://" HASH "?xlocation=/x", true, true, "", "", NULL},
    {"last item wins", "sha1://" HASH "?label=a&label=b", true, true, "b", "", NULL},
    {"other items", "sha1://" HASH "?labels=1&x&&=2&label", true, true, "", "", NULL},
    {"empty query", "sha1://" HASH "?", true, true, "", "", NULL},
    {"name behind the hash", "sha1://" HASH "/any/name.dat", true, true, "", "", NULL},
    {"slash behind the hash", "sha1://" HASH "/", true, true, "", "", NULL},
    {"name and query", "sha1://" HASH "/n?label=l", true, true, "l", "", NULL},
    {"slash in the query", "sha1://" HASH "?location=/a/b", true, true, "", "/a/b", NULL},
    {"empty", "", false, false, NULL, NULL, NULL},
    {"scheme only", "sha1://", false, false, NULL, NULL, NULL},
    {"other scheme", "sha256://" HASH, false, false, NULL, NULL, NULL},
    {"upper-case scheme", "SHA1://" HASH, false, false, NULL, NULL, NULL},
    {"no scheme", HASH, false, false, NULL, NULL, NULL},
    {"one slash", "sha1:/" HASH, false, false, NULL, NULL, NULL},
    {"three slashes", "sha1:///" HASH, false, false, NULL, NULL, NULL},
    {"39 digits", "sha1://7a56544527b002eff0fc7ba16070df264d943c0", false, false, NULL, NULL, NULL},
    {"41 digits", "sha1://" HASH "0", false, false, NULL, NULL, NULL},
    {"upper-case digits", "sha1://17A56544527B002EFF0FC7BA16070DF264D943C0", false, false, NULL,
     NULL, NULL},
    {"not hex", "sha1://g7a56544527b002eff0fc7ba16070df264d943c0", false, false, NULL, NULL, NULL},
    {"dot in the hash", "sha1://17a56544527b002eff0fc7ba16070df264d943.0", false, false, NULL,
     NULL, NULL},
    {"suffix", "sha1://" HASH ".dat", false, false, NULL, NULL, NULL},
    {"fragment", "sha1://" HASH "#x", false, false, NULL, NULL, NULL},
    {"leading space", " sha1://" HASH, false, false, NULL, NULL, NULL},
    {"trailing newline", "sha1://" HASH "\n", false, false, NULL, NULL, NULL},
    {"label before the hash", "sha1://?label=" HASH, false, false, NULL, NULL, NULL},
};

static void check(const struct parse_case *c, enum kachery_uri_form form, bool want)
{
    const char *form_name = form == KACHERY_URI_USER ? "user" : "daemon";
    struct kachery_uri u;
    struct err e = {0};

    memset(&u, 0x5a, sizeof u);
    int result = kachery_uri_parse(&u, str_of(c->text), form, &e);
    if ((result == 0) != want)
        fail_msg("%s (%s): %s", c->name, form_name, result == 0 ? "accepted" : e.msg);
    if (!want) {
        assert_int_equal(e.code, ERR_FAILED);
        assert_int_equal(u.hash[0], 0x5a);
        if (strstr(e.msg, "want sha1:// and 40 lower-case hex digits") == NULL)
            fail_msg("%s: does not say what is accepted: %s", c->name, e.msg);
        return;
    }
    bool is_user = form == KACHERY_URI_USER;
    assert_string_equal(u.hash, HASH);
    if (!str_equal(u.label, str_of(is_user ? c->label : "")))
        fail_msg("%s (%s): label \"%.*s\"", c->name, form_name, STR_ARG(u.label));
    for (int i = 0; i < KACHERY_URI_LOCATIONS; i++)
        if (!str_equal(u.locations[i], str_of(is_user ? i == 0 ? c->location : c->whole : "")))
            fail_msg("%s (%s): location %d \"%.*s\"", c->name, form_name, i,
                     STR_ARG(u.locations[i]));
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parse_cases / sizeof *parse_cases; i++) {
        check(&parse_cases[i], KACHERY_URI_USER, parse_cases[i].user);
        check(&parse_cases[i], KACHERY_URI_DAEMON, parse_cases[i].daemon);
    }
}

static void test_put(void **state)
{
    static const struct {
        const char *label, *want;
    } cases[] = {
        {"", "sha1://" HASH},
        {"rec.nwb", "sha1://" HASH "?label=rec.nwb"},
        {"x", "sha1://" HASH "?label=x"},
        {"a b/\xc3\xa4&=?#%~", "sha1://" HASH "?label=a%20b/%C3%A4%26%3D%3F%23%25~"},
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kachery_uri u;
        buf_clear(&out);
        kachery_uri_put(&out, HASH, str_of(cases[i].label));
        assert_string_equal(buf_cstr(&out), cases[i].want);
        assert_int_equal(kachery_uri_parse(&u, buf_str(&out), KACHERY_URI_USER, ERR_IGNORED), 0);
    }
    buf_free(&out);
}

static void test_put_location(void **state)
{
    static const struct {
        const char *label, *want;
    } cases[] = {
        {"", "sha1://" HASH "?location=/a b/\xff&?=%20"},
        {"x?y", "sha1://" HASH "?label=x%3Fy&location=/a b/\xff&?=%20"},
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kachery_uri u;
        buf_clear(&out);
        kachery_uri_put(&out, HASH, str_of(cases[i].label));
        kachery_uri_put_location(&out, STR("/a b/\xff&?=%20"));
        assert_string_equal(buf_cstr(&out), cases[i].want);
        assert_int_equal(kachery_uri_parse(&u, buf_str(&out), KACHERY_URI_USER, ERR_IGNORED), 0);
        assert_true(str_equal(u.locations[1], STR("/a b/\xff&?=%20")));
    }
    buf_free(&out);
}

static void test_object_key(void **state)
{
    struct buf out = {0};

    (void)state;
    kachery_uri_put_object_key(&out, STR(""), HASH);
    assert_string_equal(buf_cstr(&out), "sha1/17/a5/65/" HASH);
    buf_clear(&out);
    kachery_uri_put_object_key(&out, STR("z"), HASH);
    assert_string_equal(buf_cstr(&out), "z/sha1/17/a5/65/" HASH);
    buf_free(&out);
}

static void test_names(void **state)
{
    static const char *const good[] = {"a", "Lab-1._~", "...", "0", "09azAZ"};
    static const char *const bad[] = {"",    ".",    "..",       "a/b", "/a",
                                      "a b", "a%20", "\xc3\xa4", "a\n", "a?"};
    char longest[KACHERY_URI_MAX_NAME_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!kachery_uri_is_name(str_of(good[i])))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (kachery_uri_is_name(str_of(bad[i])))
            fail_msg("\"%s\" is accepted", bad[i]);
    memset(longest, 'n', sizeof longest);
    assert_true(kachery_uri_is_name((struct str){longest, sizeof longest - 1}));
    assert_false(kachery_uri_is_name((struct str){longest, sizeof longest}));
    assert_false(kachery_uri_is_name(STR("a\0b")));
}

#define HELLO "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"

/* A key that cannot be an object's never becomes a path. */
static const struct key_case {
    const char *name, *key;
    bool is_key;
} key_cases[] = {
    {"plain", "sha1/aa/f4/c6/" HELLO, true},
    {"in a folder", "a/b/sha1/aa/f4/c6/" HELLO, true},
    {"other folders", "sha1/aa/f4/c7/" HELLO, false},
    {"settings", "settings/authorizationSettings.yaml", false},
    {"the signing key", ".hub/url-key", false},
    {"absolute", "/sha1/aa/f4/c6/" HELLO, false},
    {"upper case", "sha1/AA/F4/C6/AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D", false},
    {"outside", "../sha1/aa/f4/c6/" HELLO, false},
    {"further outside", "a/../../sha1/aa/f4/c6/" HELLO, false},
    {"hidden", ".hub/sha1/aa/f4/c6/" HELLO, false},
    {"doubled", "a//sha1/aa/f4/c6/" HELLO, false},
    {"glued", "xsha1/aa/f4/c6/" HELLO, false},
    {"empty", "", false},
};

static void test_keys(void **state)
{
    struct str hash;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(key_cases); i++)
        unit_true(key_cases[i].name, kachery_uri_is_object_key(str_of(key_cases[i].key), &hash) ==
                                         key_cases[i].is_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_put_location),
        cmocka_unit_test(test_object_key),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
