/* Share links on a bucket in memory: what a token opens, how long, and whose links are whose. */
#include "memory_bucket.h"

#include "access/links.h"
#include "base/log.h"

#define HASH  "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
#define OTHER "0123456789012345678901234567890123456789"
#define MAKER "1111111111111111111111111111111111111111111111111111111111111111"
#define ELSE  "2222222222222222222222222222222222222222222222222222222222222222"
#define NOW   INT64_C(1800000000000)

static struct loop_clock test_clock;
static struct loop *loop;
static struct memory_bucket *bucket;
static struct err e;

static void put_text(const char *name, const char *text)
{
    memory_put(bucket, str_of(name), str_of(text));
}

static void put_client(const char *id, const char *owner)
{
    char name[MEMORY_KEY], text[256];

    snprintf(name, sizeof name, "clients/%s", id);
    snprintf(text, sizeof text,
             "{\"clientId\":\"%s\",\"ownerId\":\"%s\",\"timestampCreated\":5,\"label\":\"l\"}", id,
             owner);
    put_text(name, text);
}

#define PRIVATE                                                                                    \
    "allowPublicUpload: false\nallowPublicDownload: false\nauthorizedUsers:\n"                     \
    "  - userId: reader\n    download: true\n"

static int open_world(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    test_clock = (struct loop_clock){.jumps = true, .now_ms = 1000};
    loop = loop_new(&test_clock, &e);
    assert_non_null(loop);
    bucket = memory_bucket_new(loop);
    bucket->completes = true;
    put_text("settings/authorizationSettings.yaml", PRIVATE);
    put_client(MAKER, "reader");
    put_client(ELSE, "reader");
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    bucket_free(&bucket->bucket);
    loop_free(loop);
    return 0;
}

static void on_done(void *owner)
{
    *(bool *)owner = true;
}

static bool is_done(void *owner)
{
    return *(bool *)owner;
}

/* Runs the job to its end; its result. */
static int run_job(struct links_job *job)
{
    bool done = false;
    int result;

    job->bucket = &bucket->bucket;
    if (job->zone.len == 0)
        job->zone = STR("default");
    job->now_ms = NOW;
    job->on_done = on_done;
    job->owner = &done;
    job->e = &e;
    result = links_start(job, &e);
    if (result == 0) {
        assert_int_equal(loop_run_until(loop, is_done, &done, &e), 0);
        result = job->result;
    }
    return result;
}

/* Makes a link that lasts so long; its token in token[LINKS_TOKEN_CHARS + 1]. */
static void make(const char *client, const char *name, int64_t lasts_ms, char *token)
{
    struct links_job job = {.kind = LINKS_CREATE,
                            .client_id = str_of(client),
                            .hash = STR(HASH),
                            .name = str_of(name),
                            .expires_ms = NOW + lasts_ms};

    assert_int_equal(run_job(&job), 0);
    memcpy(token, job.token, sizeof job.token);
    assert_int_equal(strlen(token), LINKS_TOKEN_CHARS);
    links_free_job(&job);
}

static bool opens_at(const char *token, int64_t now_ms, const char *own_zone)
{
    bool done = false, is_good;
    struct links_use use = {.bucket = &bucket->bucket,
                            .own_zone = own_zone,
                            .now_ms = now_ms,
                            .on_done = on_done,
                            .owner = &done,
                            .e = &e};

    assert_int_equal(links_start_use(&use, str_of(token), &e), 0);
    assert_int_equal(loop_run_until(loop, is_done, &done, &e), 0);
    assert_int_equal(use.result, 0);
    is_good = use.is_good;
    if (is_good) {
        unit_equal_str("hash", use.link.hash, STR(HASH));
        unit_equal_str("zone", use.zone.name, use.link.zone);
    }
    links_end_use(&use);
    return is_good;
}

static bool opens(const char *token)
{
    return opens_at(token, NOW, "default");
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* How many links a client sees, over all pages. */
static size_t count_listed(const char *client, bool is_admin, size_t *pages)
{
    char after[LINKS_ID_DIGITS + 1] = "";
    size_t count = 0;

    *pages = 0;
    do {
        struct links_job job = {.kind = LINKS_LIST,
                                .client_id = str_of(client),
                                .is_admin = is_admin,
                                .after = str_of(after)};
        assert_int_equal(run_job(&job), 0);
        count += count_of(buf_cstr(&job.links), "{\"id\":\"");
        memcpy(after, job.next, sizeof after);
        links_free_job(&job);
        ++*pages;
    } while (after[0] != '\0');
    return count;
}

static int64_t revoke_links(const char *client, bool is_admin, const char *hash, const char *id)
{
    struct links_job job = {.kind = LINKS_REVOKE,
                            .client_id = str_of(client),
                            .is_admin = is_admin,
                            .hash = str_of(hash),
                            .id = str_of(id)};
    int64_t count;

    assert_int_equal(run_job(&job), 0);
    count = job.count;
    links_free_job(&job);
    return count;
}

/* ---- tests ---- */

static void test_a_token_opens_until_it_expires(void **state)
{
    char token[LINKS_TOKEN_CHARS + 1], other[LINKS_TOKEN_CHARS + 1];

    (void)state;
    make(MAKER, "a.h5", 1000, token);
    make(MAKER, "a.h5", 1000, other);
    assert_string_not_equal(token, other);
    assert_memory_equal(token, HASH, 2);
    assert_true(opens(token));
    assert_true(opens_at(token, NOW + 999, "default"));
    assert_false(opens_at(token, NOW + 1000, "default"));
    token[LINKS_TOKEN_CHARS - 1] = token[LINKS_TOKEN_CHARS - 1] == 'x' ? 'y' : 'x';
    assert_false(opens(token));
}

/* Whoever reads the hub's files cannot make a URL of them. */
static void test_no_token_is_kept(void **state)
{
    char token[LINKS_TOKEN_CHARS + 1];

    (void)state;
    make(MAKER, "a.h5", 1000, token);
    for (size_t i = 0; i < bucket->count; i++) {
        const struct buf *bytes = &bucket->items[i].bytes;
        const char *random = token + 2 + LINKS_FOLDER_DIGITS;
        assert_null(strstr(bucket->items[i].key, random));
        assert_null(memmem(bytes->data, bytes->len, random, strlen(random)));
    }
}

static void test_tokens(void **state)
{
    static const char *const bad[] = {
        "", "aa", "aa1234567890abcdefghijklmnopqrstu", "aa1234567890abcdefghijklmnopqrstuvx",
        "aA12345678abcdefghijklmnopqrstuvwx", "aa12345678abcdefghijklmnopqrstuvw/",
        "aa12345678abcdefghijklmnopqrstuvw.", "aa12345678abcdefghijklmnopqrstuv%4"};
    char id[LINKS_ID_DIGITS + 1];

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(bad); i++)
        unit_true(bad[i], !links_read_token(str_of(bad[i]), id));
    assert_true(links_read_token(STR("aa12345678abcdefghijklmnopqrstuv-_"), id));
    assert_memory_equal(id, "12345678", 8);
    assert_int_equal(strlen(id), LINKS_ID_DIGITS);
}

static void test_worth_what_its_maker_may(void **state)
{
    char token[LINKS_TOKEN_CHARS + 1], name[MEMORY_KEY];

    (void)state;
    make(MAKER, "a.h5", 1000, token);
    put_client(MAKER, "stranger");
    assert_false(opens(token));
    put_client(MAKER, "reader");
    assert_true(opens(token));
    snprintf(name, sizeof name, "clients/%s", MAKER);
    memory_drop(bucket, memory_find(bucket, str_of(name)));
    assert_false(opens(token));
    put_text("settings/authorizationSettings.yaml",
             "allowPublicUpload: false\nallowPublicDownload: true\nauthorizedUsers: []\n");
    assert_true(opens(token));
    put_text("settings/authorizationSettings.yaml", PRIVATE "    sudo: true\n");
    bool done = false;
    struct links_use use = {.bucket = &bucket->bucket, .own_zone = "default", .now_ms = NOW,
                            .on_done = on_done, .owner = &done, .e = &e};
    assert_int_equal(links_start_use(&use, str_of(token), &e), 0);
    assert_int_equal(loop_run_until(loop, is_done, &done, &e), 0);
    assert_true(use.result == -1 && !use.is_good); /* settings that nobody can read open nothing */
    links_end_use(&use);
}

static void test_other_zones(void **state)
{
    struct links_job job = {.kind = LINKS_CREATE, .zone = STR("lab"), .client_id = STR(MAKER),
                            .hash = STR(HASH), .name = STR("n"), .expires_ms = NOW + 5};
    char token[LINKS_TOKEN_CHARS + 1];
    size_t pages;

    (void)state;
    assert_int_equal(run_job(&job), 0);
    memcpy(token, job.token, sizeof token);
    links_free_job(&job);
    assert_false(opens(token)); /* there is no such zone */
    put_text("registered-zones/lab", "{\"zone\":\"lab\",\"ownerId\":\"o\",\"bucketName\":"
                                     "\"default\",\"directory\":\"lab-files\"}");
    assert_true(opens(token)); /* it is public */
    put_text("lab-files/settings/authorizationSettings.yaml", PRIVATE);
    assert_false(opens(token)); /* registered in another zone counts for nothing */
    assert_int_equal(count_listed(MAKER, true, &pages), 0);
    assert_int_equal(count_listed(MAKER, false, &pages), 0);
    assert_int_equal(revoke_links(MAKER, true, HASH, ""), 0);
}

static void test_whose(void **state)
{
    char mine[LINKS_TOKEN_CHARS + 1], second[LINKS_TOKEN_CHARS + 1], other[LINKS_TOKEN_CHARS + 1];
    char id[LINKS_ID_DIGITS + 1];
    size_t pages;

    (void)state;
    make(MAKER, "a", 1000, mine);
    make(MAKER, "b", 1000, second);
    make(ELSE, "c", 1000, other);
    assert_int_equal(count_listed(MAKER, false, &pages), 2);
    assert_int_equal(count_listed(ELSE, false, &pages), 1);
    assert_int_equal(count_listed(ELSE, true, &pages), 3);
    assert_true(links_read_token(str_of(mine), id));
    assert_int_equal(revoke_links(ELSE, false, "", id), 0);
    assert_true(opens(mine));
    assert_int_equal(revoke_links(MAKER, false, "", id), 1);
    assert_int_equal(revoke_links(MAKER, false, "", id), 0);
    assert_false(opens(mine));
    assert_true(opens(second) && opens(other));
    assert_int_equal(revoke_links(MAKER, true, OTHER, ""), 0);
    assert_int_equal(revoke_links(MAKER, true, HASH, ""), 1); /* an administrator, too: own ones */
    assert_true(!opens(second) && opens(other));
    assert_true(links_read_token(str_of(other), id));
    assert_int_equal(revoke_links(MAKER, true, "", id), 1);
    assert_false(opens(other));
    assert_int_equal(count_listed(MAKER, true, &pages), 0);
}

static void test_expired_ones_are_removed(void **state)
{
    char token[LINKS_TOKEN_CHARS + 1];
    struct links_job job = {.kind = LINKS_CREATE, .client_id = STR(MAKER), .hash = STR(HASH),
                            .name = STR("n"), .expires_ms = NOW};
    size_t pages, before = bucket->count;

    (void)state;
    assert_int_equal(run_job(&job), -1); /* it would not open anything */
    links_free_job(&job);
    make(MAKER, "a", 1, token);
    memory_put(bucket, STR(".hub/links/12345678/leftover"), STR("no link"));
    bucket->items[0].version = 0;
    /* Its time is over: the next one that is made finds it. */
    for (size_t i = 0; i < bucket->count; i++) {
        struct buf *bytes = &bucket->items[i].bytes;
        char *at = bytes->len == 0 ? NULL : memmem(bytes->data, bytes->len, "\"expires\":1", 11);
        if (at != NULL)
            at[11] = '0';
    }
    assert_false(opens(token));
    assert_int_equal(bucket->count, before + 2);
    make(MAKER, "b", 1, token);
    assert_int_equal(bucket->count, before + 2);
    assert_int_equal(count_listed(MAKER, true, &pages), 1);
}

static void test_pages(void **state)
{
    char token[LINKS_TOKEN_CHARS + 1], name[LINKS_MAX_NAME_BYTES + 1];
    size_t pages;

    (void)state;
    memset(name, '"', LINKS_MAX_NAME_BYTES); /* two characters each */
    name[LINKS_MAX_NAME_BYTES] = '\0';
    for (int i = 0; i < 50; i++)
        make(MAKER, name, 1000, token);
    assert_int_equal(count_listed(MAKER, false, &pages), 50);
    assert_int_equal(pages, 3);
    assert_int_equal(count_listed(ELSE, true, &pages), 50);
    assert_int_equal(revoke_links(MAKER, false, HASH, ""), 50);
    assert_int_equal(count_listed(ELSE, true, &pages), 0);
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool is_good;
    } cases[] = {{"a", true},    {"a.h5", true},   {"a/b.h5", true},  {"folder/", true},
                 {"\xc3\xa4", true}, {"", false},  {"/a", false},     {"a//b", false},
                 {"..", false},  {"a/../b", false}, {"./a", false},   {"a/.", false},
                 {"a\nb", false}, {"\x7f", false}, {"\xff", false},   {"/", false},
                 {"...", true},  {"~", true}};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        unit_true(cases[i].name, (links_check_name(str_of(cases[i].name), &e) == 0) ==
                                     cases[i].is_good);
}

/* Each call of the bucket fails once: nothing is said to be absent, and nothing is opened. */
static void test_broken_bucket(void **state)
{
    char token[LINKS_TOKEN_CHARS + 1];

    (void)state;
    make(MAKER, "a", 1000, token);
    for (unsigned at = 1; at <= 3; at++) {
        bool done = false;
        struct links_use use = {.bucket = &bucket->bucket, .own_zone = "default", .now_ms = NOW,
                                .on_done = on_done, .owner = &done, .e = &e};
        bucket->made = 0;
        bucket->fail_at = at;
        assert_int_equal(links_start_use(&use, str_of(token), &e), 0);
        assert_int_equal(loop_run_until(loop, is_done, &done, &e), 0);
        assert_true(use.result == -1 && !use.is_good);
        links_end_use(&use);
    }
}

/* Whether the pass opens the file with that key. */
static bool pass_opens(struct str pass, const unsigned char *key, int64_t now_ms)
{
    bool done = false, is_good;
    struct links_use use = {.bucket = &bucket->bucket,
                            .own_zone = "default",
                            .key = key,
                            .now_ms = now_ms,
                            .on_done = on_done,
                            .owner = &done,
                            .e = &e};

    if (links_start_use(&use, pass, &e) != 0) {
        assert_int_equal(e.code, ERR_NOT_FOUND);
        links_end_use(&use);
        return false;
    }
    assert_int_equal(loop_run_until(loop, is_done, &done, &e), 0);
    assert_int_equal(use.result, 0);
    is_good = use.is_good;
    if (is_good) {
        unit_equal_str("hash", use.link.hash, STR(HASH));
        unit_equal_str("name", use.link.name, STR(HASH));
    }
    links_end_use(&use);
    return is_good;
}

static void test_passes(void **state)
{
    static const unsigned char key[LINKS_PASS_KEY] = {1, 2, 3}, another[LINKS_PASS_KEY] = {1, 2, 4};
    struct buf pass = {0}, stranger = {0}, elsewhere = {0};

    (void)state;
    links_put_pass(&pass, key, STR("default"), STR(HASH), STR(MAKER), NOW);
    assert_true(pass_opens(buf_str(&pass), key, NOW));
    assert_true(pass_opens(buf_str(&pass), key, NOW + LINKS_PASS_MS - 1));
    assert_false(pass_opens(buf_str(&pass), key, NOW + LINKS_PASS_MS));
    assert_false(pass_opens(buf_str(&pass), another, NOW));
    assert_false(pass_opens(buf_str(&pass), NULL, NOW));
    for (size_t n = 0; n < pass.len; n++) {
        char was = pass.data[n];
        pass.data[n] = was == '1' ? '2' : '1';
        assert_false(pass_opens(buf_str(&pass), key, NOW));
        assert_false(pass_opens(str_slice(buf_str(&pass), 0, n), key, NOW));
        pass.data[n] = was;
    }
    links_put_pass(&stranger, key, STR("default"), STR(HASH), STR(""), NOW);
    assert_false(pass_opens(buf_str(&stranger), key, NOW)); /* the zone is private */
    links_put_pass(&elsewhere, key, STR("nowhere"), STR(HASH), STR(MAKER), NOW);
    assert_false(pass_opens(buf_str(&elsewhere), key, NOW));
    put_text("settings/authorizationSettings.yaml",
             "allowPublicUpload: false\nallowPublicDownload: true\nauthorizedUsers: []\n");
    assert_true(pass_opens(buf_str(&stranger), key, NOW));
    buf_free(&pass);
    buf_free(&stranger);
    buf_free(&elsewhere);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_a_token_opens_until_it_expires),
        IN_WORLD(test_no_token_is_kept),
        IN_WORLD(test_tokens),
        IN_WORLD(test_worth_what_its_maker_may),
        IN_WORLD(test_other_zones),
        IN_WORLD(test_whose),
        IN_WORLD(test_expired_ones_are_removed),
        IN_WORLD(test_pages),
        IN_WORLD(test_names),
        IN_WORLD(test_broken_bucket),
        IN_WORLD(test_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
