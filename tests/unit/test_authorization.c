/* Authorization settings: who may do what, and files that are refused. */
#include "memory_bucket.h"

#include "access/authorization.h"

#define USERS                                                                                      \
    "authorizedUsers:\n"                                                                           \
    "  - userId: up\n    upload: true\n"                                                           \
    "  - userId: down\n    download: true\n"                                                       \
    "  - userId: boss\n    upload: true\n    download: true\n    admin: true\n"                    \
    "  - userId: none\n    upload: false\n"

static const struct may_case {
    const char *name, *settings, *user, *upload, *download, *administer; /* NULL: allowed */
} may_cases[] = {
    {"no file", NULL, "u", "User u is not authorized.", NULL, "User u is not authorized."},
    {"nobody", NULL, NULL, "No verified client ID or user ID", NULL,
     "No verified client ID or user ID"},
    {"open", "allowPublicUpload: true\nauthorizedUsers: []\n", "u", NULL, NULL,
     "User u is not authorized."},
    {"open, nobody", "allowPublicUpload: true\nauthorizedUsers: []\n", NULL,
     "No verified client ID or user ID", NULL, "No verified client ID or user ID"},
    {"uploader", "allowPublicUpload: false\n" USERS, "up", NULL, NULL,
     "User up not authorized to administer this zone."},
    {"stranger", "allowPublicUpload: false\n" USERS, "u", "User u is not authorized.", NULL,
     "User u is not authorized."},
    {"listed", "allowPublicUpload: false\n" USERS, "none",
     "User none not authorized to upload files.", NULL,
     "User none not authorized to administer this zone."},
    {"closed downloads", "allowPublicUpload: false\nallowPublicDownload: false\n" USERS, "up", NULL,
     "User up not authorized to download files.",
     "User up not authorized to administer this zone."},
    {"downloader", "allowPublicUpload: false\nallowPublicDownload: false\n" USERS, "down",
     "User down not authorized to upload files.", NULL,
     "User down not authorized to administer this zone."},
    {"administrator", "allowPublicUpload: false\nallowPublicDownload: false\n" USERS, "boss", NULL,
     NULL, NULL},
    {"closed downloads, nobody", "allowPublicUpload: true\nallowPublicDownload: false\n" USERS,
     NULL, "No verified client ID or user ID", "No verified client ID or user ID",
     "No verified client ID or user ID"},
};

static void check_may(const struct may_case *c, const char *what, int result, const struct err *e,
                      const char *want)
{
    char name[128];

    snprintf(name, sizeof name, "%s: %s", c->name, what);
    unit_true(name, (result == 0) == (want == NULL));
    if (want != NULL)
        unit_equal(name, e->msg, want);
}

static void test_may(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(may_cases); i++) {
        const struct may_case *c = &may_cases[i];
        struct authorization a = authorization_none();
        struct err e = {0};
        if (c->settings != NULL)
            unit_true(c->name, authorization_parse(&a, str_of(c->settings), "s.yaml", &e) == 0);
        check_may(c, "upload", authorization_may_upload(&a, c->user, &e), &e, c->upload);
        check_may(c, "download", authorization_may_download(&a, c->user, &e), &e, c->download);
        check_may(c, "administer", authorization_may_administer(&a, c->user, &e), &e,
                  c->administer);
        authorization_deinit(&a);
    }
}

static const struct refused_case {
    const char *name, *settings, *error;
} refused_cases[] = {
    {"empty", "", "s.yaml:1: allowPublicUpload is missing"},
    {"a list", "- a\n", "s.yaml:1: want a mapping"},
    {"no users", "allowPublicUpload: true\n", "s.yaml:1: authorizedUsers: want a list"},
    {"users not a list", "allowPublicUpload: true\nauthorizedUsers: a\n",
     "s.yaml:2: authorizedUsers: want a list"},
    {"unknown key", "allowPublicUpload: true\nauthorizedUsers: []\nmore: 1\n",
     "s.yaml:3: unknown key \"more\""},
    {"not a boolean", "allowPublicUpload: 1\nauthorizedUsers: []\n",
     "s.yaml:1: allowPublicUpload \"1\": want true or false"},
    {"quoted boolean", "allowPublicUpload: \"true\"\nauthorizedUsers: []\n",
     "s.yaml:1: allowPublicUpload \"true\": want true or false"},
    {"user without id", "allowPublicUpload: true\nauthorizedUsers:\n  - upload: true\n",
     "s.yaml:3: userId is missing"},
    {"user is text", "allowPublicUpload: true\nauthorizedUsers:\n  - me\n",
     "s.yaml:3: want userId, upload, download, admin"},
    {"unknown key of a user",
     "allowPublicUpload: true\nauthorizedUsers:\n  - userId: u\n    uplaod: true\n",
     "s.yaml:4: unknown key \"uplaod\""},
    {"permission is text",
     "allowPublicUpload: true\nauthorizedUsers:\n  - userId: u\n    upload: maybe\n",
     "s.yaml:4: upload \"maybe\": want true or false"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(refused_cases); i++) {
        const struct refused_case *c = &refused_cases[i];
        struct authorization a = authorization_none();
        struct err e = {0};
        unit_true(c->name, authorization_parse(&a, str_of(c->settings), "s.yaml", &e) == -1);
        unit_equal(c->name, e.msg, c->error);
        unit_true(c->name, a.file == NULL);
    }
}

/* ---- in a bucket ---- */

static struct loop *loop;
static struct memory_bucket *bucket;
static struct zone_reading reading;

static int set_up(void **state)
{
    struct err e = {0};

    (void)state;
    loop = loop_new(NULL, &e);
    bucket = memory_bucket_new(loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    zone_files_free_reading(&reading);
    bucket_free(&bucket->bucket);
    loop_free(loop);
    return 0;
}

static void on_done(void *owner)
{
    (void)owner;
}

static bool is_done(void *owner)
{
    (void)owner;
    return reading.file.call.bucket == NULL;
}

/* The one call of the bucket that is under way completes. */
static void complete(void)
{
    struct err e = {0};

    assert_int_equal(bucket->pending_count, 1);
    memory_complete(bucket, 0);
    assert_int_equal(loop_run_until(loop, is_done, NULL, &e), 0);
}

/* The settings that are there stay. */
static void test_open_settings(void **state)
{
    const struct zone zone = {.name = STR("lab"), .directory = STR("a/b")};
    struct authorization a;
    struct err e = {0};

    (void)state;
    reading = (struct zone_reading){.file = {.call = {on_done, NULL, .e = &e}}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(authorization_open_zone(&bucket->bucket, &zone, &reading, &e), 0);
        complete();
        assert_int_equal(zone_files_take_written(&reading, &e), 0);
        struct memory_item *item =
            memory_find(bucket, STR("a/b/settings/authorizationSettings.yaml"));
        assert_non_null(item);
        assert_int_equal(item->version, 1);
    }
    assert_int_equal(authorization_ask(&bucket->bucket, &zone, &reading, &e), 0);
    complete();
    assert_int_equal(authorization_take(&reading, &a, &e), 0);
    assert_int_equal(authorization_may_upload(&a, "anybody", &e), 0);
    authorization_deinit(&a);
}

static struct authorization read_settings(const struct zone *zone)
{
    struct authorization a;
    struct err e = {0};

    reading.file.call = (struct bucket_call){on_done, NULL, .e = &e};
    assert_int_equal(authorization_ask(&bucket->bucket, zone, &reading, &e), 0);
    complete();
    assert_int_equal(authorization_take(&reading, &a, &e), 0);
    return a;
}

/* The same text is parsed once; another one holds at once, also while the first is in use. */
static void test_same_settings(void **state)
{
    const struct zone zone = {.name = STR("lab"), .directory = STR("")};
    struct err e = {0};

    (void)state;
    const struct str name = STR("settings/authorizationSettings.yaml");
    memory_put(bucket, name, STR("allowPublicUpload: true\nauthorizedUsers: []\n"));
    struct authorization first = read_settings(&zone), second = read_settings(&zone);
    assert_ptr_equal(first.file, second.file);
    authorization_deinit(&second);
    memory_put(bucket, name, STR("allowPublicUpload: false\n"
                                 "authorizedUsers: [{userId: anna, upload: true}]\n"));
    struct authorization third = read_settings(&zone);
    assert_int_equal(authorization_may_upload(&first, "bert", &e), 0);
    assert_int_equal(authorization_may_upload(&third, "bert", &e), -1);
    assert_int_equal(authorization_may_upload(&third, "anna", &e), 0);
    authorization_deinit(&first);
    authorization_deinit(&third);
    third = read_settings(&zone);
    assert_int_equal(authorization_may_upload(&third, "anna", &e), 0);
    authorization_deinit(&third);
}

/* Only settings of which the bucket says that they are not there are none. */
static void test_settings_that_cannot_be_read(void **state)
{
    const struct zone zone = {.name = STR("lab"), .directory = STR("")};
    struct authorization a;
    struct err e = {0};

    (void)state;
    reading = (struct zone_reading){.file = {.call = {on_done, NULL, .e = &e}}};
    assert_int_equal(authorization_ask(&bucket->bucket, &zone, &reading, &e), 0);
    complete();
    assert_int_equal(authorization_take(&reading, &a, &e), 0);
    assert_true(a.allow_public_download);
    assert_int_equal(authorization_may_upload(&a, "anybody", &e), -1);
    bucket->fail_at = bucket->made + 1;
    assert_int_equal(authorization_ask(&bucket->bucket, &zone, &reading, &e), 0);
    assert_int_equal(loop_run_until(loop, is_done, NULL, &e), 0);
    assert_int_equal(authorization_take(&reading, &a, &e), -1);
    unit_equal("broken", e.msg, "the bucket is broken");
}

#define PRIVATE "allowPublicUpload: false\nallowPublicDownload: false\nauthorizedUsers: []\n"
#define PUBLIC "allowPublicUpload: false\nallowPublicDownload: true\nauthorizedUsers: []\n"

/* A memory holds for the same text alone. */
static void test_settings_are_recalled(void **state)
{
    static const struct {
        const char *name, *text;
        int result;
        bool is_public;
    } cases[] = {
        {"none yet", NULL, 0, true},
        {"private", PRIVATE, 0, false},
        {"the same", NULL, 0, false},
        {"public", PUBLIC, 0, true},
        {"broken", "allowPublicUpload: maybe\n", -1, false},
        {"still broken", NULL, -1, false},
        {"private again", PRIVATE, 0, false},
        {"taken away", "", 0, true},
    };
    const struct zone zone = {.name = STR("lab"), .directory = STR("")};
    const char *const name = "settings/authorizationSettings.yaml";
    struct authorization_memory memory = {0};
    struct err e = {0};

    (void)state;
    reading = (struct zone_reading){.file = {.call = {on_done, NULL, .e = &e}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct authorization *a = NULL;
        if (cases[i].text != NULL && cases[i].text[0] != '\0')
            memory_put(bucket, str_of(name), str_of(cases[i].text));
        else if (cases[i].text != NULL)
            memory_drop(bucket, memory_find(bucket, str_of(name)));
        assert_int_equal(authorization_ask(&bucket->bucket, &zone, &reading, &e), 0);
        complete();
        unit_true(cases[i].name,
                  authorization_recall(&reading, &memory, &a, &e) == cases[i].result);
        if (cases[i].result == 0)
            unit_true(cases[i].name, a->allow_public_download == cases[i].is_public);
    }
    authorization_forget(&memory);
    zone_files_free_reading(&reading);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_may),
        cmocka_unit_test(test_refused),
        cmocka_unit_test_setup_teardown(test_open_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings_that_cannot_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings_are_recalled, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
