/* kachery-resource.yaml: what is read, what is refused and how, what a rewrite leaves alone. */
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/newfile.h"
#include "daemon/config.h"

static const char full[] = "resourceName: rig-1\n"
                           "kacheryZone: lab\n"
                           "maxConcurrentUploads: 3\n"
                           "proxyUrl: https://proxy.example.org\n"
                           "proxySecret: s3cret\n";

/* "name|zone|uploads|proxy|secret|caFile|streams" with - for what is not there. */
static void flatten(const struct config *c, struct buf *out)
{
    for (int key = 0; key <= CONFIG_STREAMS; key++)
        buf_printf(out, "%s%s", key > 0 ? "|" : "", c->values[key] ? c->values[key] : "-");
}

static const struct read_case {
    const char *name, *text, *want;
} read_cases[] = {
    {"all", full, "rig-1|lab|3|https://proxy.example.org|s3cret|-|-"},
    {"nothing", "", "-|-|-|-|-|-|-"},
    {"comments only", "# to be filled in\n", "-|-|-|-|-|-|-"},
    {"nulls", "resourceName:\nkacheryZone: null\nproxySecret: ~\n", "-|-|-|-|-|-|-"},
    {"unknown keys", "port: 3\nlist: [1, 2]\nresourceName: a\n", "a|-|-|-|-|-|-"},
    {"quoted", "resourceName: 'a.b'\nmaxConcurrentUploads: \"64\"\n", "a.b|-|64|-|-|-|-"},
    {"flow mapping", "{resourceName: a, proxySecret: \"x y\"}\n", "a|-|-|-|x y|-|-"},
    {"js-yaml folds long strings", "proxyUrl: >-\n  http://h/abc\nproxySecret: |-\n  p w\n",
     "-|-|-|http://h/abc|p w|-|-"},
    {"a name of digits", "resourceName: 2024\n", "2024|-|-|-|-|-|-"},
    {"slashes at the end", "proxyUrl: http://h:8/p//\n", "-|-|-|http://h:8/p|-|-|-"},
    {"websocket", "proxyUrl: wss://h/\n", "-|-|-|wss://h|-|-|-"},
    {"secret with quotes", "proxySecret: 'it''s: #1'\n", "-|-|-|-|it's: #1|-|-"},
    {"document start", "---\nresourceName: a\n", "a|-|-|-|-|-|-"},
    {"caFile", "caFile: /etc/ssl/our ca.pem\n", "-|-|-|-|-|/etc/ssl/our ca.pem|-"},
    {"streams", "maxConcurrentStreams: 16\n", "-|-|-|-|-|-|16"},
    {"carriage returns", "resourceName: a\r\nproxySecret: b\r\n", "a|-|-|-|b|-|-"},
};

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(read_cases); i++) {
        const struct read_case *c = &read_cases[i];
        struct config config = {0};
        struct buf got = {0};
        struct err e = {0};
        if (config_parse(&config, str_of(c->text), "c.yaml", &e) != 0)
            buf_puts(&got, e.msg);
        else
            flatten(&config, &got);
        unit_equal(c->name, buf_cstr(&got), c->want);
        config_deinit(&config);
        buf_free(&got);
    }
}

static const struct read_case bad_cases[] = {
    {"not a number", "# x\n\n\nmaxConcurrentUploads: two\n",
     "c.yaml:4: maxConcurrentUploads \"two\": want a whole number 1-64"},
    {"zero", "maxConcurrentUploads: 0\n",
     "c.yaml:1: maxConcurrentUploads \"0\": want a whole number 1-64"},
    {"too many", "maxConcurrentUploads: 65\n",
     "c.yaml:1: maxConcurrentUploads \"65\": want a whole number 1-64"},
    {"no streams", "maxConcurrentStreams: 0\n",
     "c.yaml:1: maxConcurrentStreams \"0\": want a whole number 1-1000"},
    {"too nice", "workerNice: 20\n",
     "c.yaml:1: workerNice \"20\": want a whole number 0-19"},
    {"not nice", "workerNice: -1\n",
     "c.yaml:1: workerNice \"-1\": want a whole number 0-19"},
    {"no processor time", "workerProcessorSeconds: 0\n",
     "c.yaml:1: workerProcessorSeconds \"0\": want a whole number 1-1000000"},
    {"rate", "maxUploadRate: fast\n",
     "c.yaml:1: maxUploadRate \"fast\": want bytes a second, 100kB to 1TB, such as 50MB (10^6)"},
    {"a rule", "maxUploadRateSchedule:\n  - Sat 00:00-24:00 1MB\n  - Fri 10MB\n",
     "c.yaml:3: maxUploadRateSchedule \"Fri 10MB\": want days, times and a rate, such as "
     "Mon-Fri 08:00-18:00 10MB: the times are 00:00 to 24:00"},
    {"a schedule of lists", "maxUploadRateSchedule: [[a]]\n",
     "c.yaml:1: maxUploadRateSchedule: want rules such as \"Mon-Fri 08:00-18:00 10MB\""},
    {"a fraction", "maxConcurrentUploads: 2.5\n",
     "c.yaml:1: maxConcurrentUploads \"2.5\": want a whole number 1-64"},
    {"space in the name", "kacheryZone: z\nresourceName: my rig\n",
     "c.yaml:2: resourceName \"my rig\": want 1 to 200 of A-Z a-z 0-9 . _ ~ -"},
    {"empty name", "resourceName: ''\n",
     "c.yaml:1: resourceName \"\": want 1 to 200 of A-Z a-z 0-9 . _ ~ -"},
    {"zone", "kacheryZone: a/b\n",
     "c.yaml:1: kacheryZone \"a/b\": want 1 to 200 of A-Z a-z 0-9 . _ ~ -"},
    {"a list", "resourceName: [a]\n", "c.yaml:1: resourceName: want one value"},
    {"query in the proxy", "proxyUrl: http://h/?x\n",
     "c.yaml:1: proxyUrl: want no user name and no '?' in it"},
    {"empty secret", "proxySecret: ''\n",
     "c.yaml:1: proxySecret: want 1 to 1000 characters, no control characters"},
    {"blank at a secret's end", "proxySecret: 'a '\n",
     "c.yaml:1: proxySecret: the secret ends with a blank, which would be part of it here and "
     "perhaps not elsewhere: want the secret alone"},
    {"quotes in quotes", "proxySecret: '\"a\"'\n",
     "c.yaml:1: proxySecret: the secret is in quotes, which would be part of it here and "
     "perhaps not elsewhere: want the secret alone"},
    {"no mapping", "- a\n", "c.yaml:1: want lines such as \"resourceName: NAME\""},
};

static void test_bad_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad_cases); i++) {
        const struct read_case *c = &bad_cases[i];
        struct config config = {0};
        struct err e = {0};
        unit_true(c->name, config_parse(&config, str_of(c->text), "c.yaml", &e) != 0);
        unit_equal(c->name, e.msg, c->want);
        config_deinit(&config);
    }
}

/* A bad secret is not shown, not even by a long message. */
static void test_secret_is_not_quoted(void **state)
{
    struct config config = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(config_parse(&config, STR("proxySecret: \"hush\\u0007\"\n"), "c.yaml", &e),
                     -1);
    assert_null(strstr(e.msg, "hush"));
    assert_int_equal(config_parse(&config, STR("proxyUrl: ftp://h\n"), "c.yaml", &e), -1);
    assert_non_null(strstr(e.msg, "c.yaml:1: proxyUrl"));
    assert_non_null(strstr(e.msg, "ftp://h"));
}

static void test_complete(void **state)
{
    struct config config = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(config_parse(&config, STR("resourceName: a\nproxyUrl: http://h\n"), "c", &e),
                     0);
    assert_int_equal(config_complete(&config, "c", &e), -1);
    unit_equal("missing", e.msg, "c: proxySecret is missing: run `kachery-resource init`");
    unit_equal("zone", config.values[CONFIG_ZONE], "default");
    assert_int_equal(config.max_uploads, 2);
    assert_int_equal(config_set(&config, CONFIG_SECRET, STR("x"), &e), 0);
    assert_int_equal(config_complete(&config, "c", &e), 0);
    config_deinit(&config);
}

static void test_load(void **state)
{
    static const char load[] = "workerNice: 0\nworkerProcessorSeconds: 60\nmaxUploadRate: 50MB\n"
                               "maxUploadRateSchedule: [\"Mon-Fri 08:00-18:00 10MB\", "
                               "Sat 22:00-06:00 unlimited]\n";
    struct config config = {0};
    struct buf text = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(config_parse(&config, str_of(full), "c", &e), 0);
    assert_int_equal(config_complete(&config, "c", &e), 0);
    assert_int_equal(config.processor_s, 300);
    assert_int_equal(config_nice(&config, 5), 5);
    assert_false(rate_plan_limits(&config.rates));
    assert_int_equal(config_parse(&config, str_of(load), "c", &e), 0);
    assert_int_equal(config.processor_s, 60);
    assert_int_equal(config_nice(&config, 5), 0);
    assert_int_equal(config.rates.bytes, 50000000);
    assert_int_equal(config.rates.count, 2);
    assert_int_equal(config.rates.rules[0].bytes, 10000000);
    assert_int_equal(config_edit(&config, str_of(load), "c", &text, &e), 0);
    unit_equal("unchanged", buf_cstr(&text), load);
    assert_int_equal(config_parse(&config, STR("maxUploadRateSchedule: 00:00-24:00 1MB\n"), "c",
                                  &e),
                     0);
    assert_int_equal(config.rates.count, 1);
    buf_free(&text);
    config_deinit(&config);
}

static void test_zone_of_the_environment(void **state)
{
    struct config config = {0};
    struct err e = {0};

    (void)state;
    assert_int_equal(config_set(&config, CONFIG_ZONE, STR("lab"), &e), 0);
    setenv("KACHERY_ZONE", "lab", 1);
    assert_int_equal(config_check_zone(&config, &e), 0);
    setenv("KACHERY_ZONE", "", 1);
    assert_int_equal(config_check_zone(&config, &e), 0);
    setenv("KACHERY_ZONE", "other", 1);
    assert_int_equal(config_check_zone(&config, &e), -1);
    assert_non_null(strstr(e.msg, "\"lab\""));
    assert_non_null(strstr(e.msg, "\"other\""));
    unsetenv("KACHERY_ZONE");
    assert_int_equal(config_check_zone(&config, &e), 0);
    config_deinit(&config);
}

static const struct edit_case {
    const char *name, *text;
    enum config_key key;
    const char *value, *want; /* want NULL: refused */
} edit_cases[] = {
    {"a new file", "", CONFIG_NAME, "a", "resourceName: a\n"},
    {"another value", "resourceName: a\nkacheryZone: z\n", CONFIG_NAME, "b",
     "resourceName: b\nkacheryZone: z\n"},
    {"added at the end", "# ours\nresourceName: a\nport: 3", CONFIG_UPLOADS, "4",
     "# ours\nresourceName: a\nport: 3\nmaxConcurrentUploads: 4\n"},
    {"comments and order stay", "# top\nx: {a: 1}  # odd\n\nresourceName: a # name\n# end\n",
     CONFIG_NAME, "b", "# top\nx: {a: 1}  # odd\n\nresourceName: b # name\n# end\n"},
    {"unchanged stays as it is", "proxyUrl:   \"http://h/\"   # here\n", CONFIG_PROXY, "http://h",
     "proxyUrl:   \"http://h/\"   # here\n"},
    {"a folded value", "proxyUrl: >-\n  http://h/abc\n\n  \nzone2: x\n", CONFIG_PROXY, "ws://h",
     "proxyUrl: ws://h\n\n  \nzone2: x\n"},
    {"a quoted key", "\"resourceName\" : a\n", CONFIG_NAME, "b", "resourceName: b\n"},
    {"a nested key of that name", "other:\n  resourceName: x\nresourceName: a\n", CONFIG_NAME, "b",
     "other:\n  resourceName: x\nresourceName: b\n"},
    {"a null", "proxySecret: null\n", CONFIG_SECRET, "s", "proxySecret: s\n"},
    {"no value", "proxySecret:\nresourceName: a\n", CONFIG_SECRET, "s",
     "proxySecret: s\nresourceName: a\n"},
    {"needs quotes", "", CONFIG_SECRET, "it's: #1", "proxySecret: 'it''s: #1'\n"},
    {"a number as secret", "", CONFIG_SECRET, "0123", "proxySecret: '0123'\n"},
    {"a word as name", "", CONFIG_NAME, "No", "resourceName: 'No'\n"},
    {"tilde", "", CONFIG_NAME, "~", "resourceName: '~'\n"},
    {"not plain at the end", "", CONFIG_SECRET, "a:", "proxySecret: 'a:'\n"},
    {"spaces inside", "", CONFIG_SECRET, "a  b", "proxySecret: 'a  b'\n"},
    {"UTF-8", "", CONFIG_SECRET, "\xc3\xa9\xe2\x82\xac", "proxySecret: '\xc3\xa9\xe2\x82\xac'\n"},
    {"a longer key", "resourceName:x: 1\nresourceName: a\n", CONFIG_NAME, "b",
     "resourceName:x: 1\nresourceName: b\n"},
    {"a line of another value", "x: \"1\nresourceName: 2\"\nresourceName: a\n", CONFIG_NAME, "b",
     NULL},
    {"flow mapping", "{resourceName: a}\n", CONFIG_NAME, "b", NULL},
    {"after the end mark", "resourceName: a\n...\n", CONFIG_UPLOADS, "4", NULL},
};

static void test_edit(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(edit_cases); i++) {
        const struct edit_case *c = &edit_cases[i];
        struct config config = {0}, again = {0};
        struct buf got = {0};
        struct err e = {0};
        unit_true(c->name, config_set(&config, c->key, str_of(c->value), &e) == 0);
        if (config_edit(&config, str_of(c->text), "c.yaml", &got, &e) != 0) {
            if (c->want != NULL)
                unit_equal(c->name, e.msg, c->want);
            unit_true(c->name, got.len == 0 && strstr(e.msg, "c.yaml") != NULL);
        } else {
            unit_equal(c->name, buf_cstr(&got), c->want);
            unit_true(c->name, config_parse(&again, buf_str(&got), "c.yaml", &e) == 0);
            unit_equal(c->name, again.values[c->key], config.values[c->key]);
        }
        config_deinit(&config);
        config_deinit(&again);
        buf_free(&got);
    }
}

/* Every single character survives being written and read as a secret. */
static void test_every_character(void **state)
{
    static const char *const around[] = {"%c", "a%c", "%ca", "a%cb", "a %c b", "- %c", "a: %c"};

    (void)state;
    for (int ch = 0x20; ch < 0x7f; ch++)
        for (size_t i = 0; i < UNIT_COUNT(around); i++) {
            struct config config = {0}, again = {0};
            struct buf value = {0}, got = {0};
            struct err e = {0};
            size_t at = (size_t)(strchr(around[i], '%') - around[i]);
            buf_append(&value, around[i], at);
            buf_putc(&value, (char)ch);
            buf_puts(&value, around[i] + at + 2);
            bool ends_blank = value.data[0] == ' ' || value.data[value.len - 1] == ' ';
            assert_int_equal(config_set(&config, CONFIG_SECRET, buf_str(&value), &e) != 0,
                             ends_blank);
            if (ends_blank) {
                buf_free(&value);
                continue;
            }
            if (config_edit(&config, STR("x: 1\n"), "c", &got, &e) != 0 ||
                config_parse(&again, buf_str(&got), "c", &e) != 0)
                fail_msg("%s: %s", buf_cstr(&value), e.msg);
            unit_equal("character", again.values[CONFIG_SECRET], buf_cstr(&value));
            config_deinit(&config);
            config_deinit(&again);
            buf_free(&value);
            buf_free(&got);
        }
}

static void test_save(void **state)
{
    char folder[] = "/tmp/kachery-config-XXXXXX", path[64], link[64];
    struct config config = {0}, again = {0};
    struct err e = {0};
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c.yaml", folder);
    snprintf(link, sizeof link, "%s/link.yaml", folder);
    assert_int_equal(config_load(&config, path, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(config_set(&config, CONFIG_NAME, STR("a"), &e), 0);
    assert_int_equal(config_save(&config, path, &e), 0);
    assert_int_equal(newfile_put(path, STR("# keep\nx: 1\n"), 0, &e), 0);
    assert_int_equal(symlink("c.yaml", link), 0);
    assert_int_equal(config_save(&config, link, &e), 0);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(config_load(&again, path, &e), 0);
    unit_equal("name", again.values[CONFIG_NAME], "a");
    unlink(path);
    unlink(link);
    assert_int_equal(rmdir(folder), 0);
    config_deinit(&config);
    config_deinit(&again);
}

static const struct sibling_case {
    const char *config, *want;
} sibling_cases[] = {{"c.yaml", "x"}, {"/a/c.yaml", "/a/x"}, {"/c.yaml", "/x"}, {"a/b", "a/x"}};

static void test_siblings(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(sibling_cases); i++) {
        struct buf got = {0};
        config_put_sibling(sibling_cases[i].config, "x", &got);
        unit_equal(sibling_cases[i].config, buf_cstr(&got), sibling_cases[i].want);
        buf_free(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_secret_is_not_quoted),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_zone_of_the_environment),
        cmocka_unit_test(test_edit),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_save),
        cmocka_unit_test(test_siblings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
