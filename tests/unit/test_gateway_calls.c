/*
 * The gateway's calls on a bucket that answers late and in any order: two at once in every order of
 * what the bucket completes, clients that leave, and a bucket of which each call fails.
 */
#include "memory_bucket.h"
#include "rounds.h"

#include "access/links.h"
#include "base/clock.h"
#include "base/ed25519.h"
#include "base/log.h"
#include "base/json.h"
#include "gateway/gateway_calls.h"
#include "proto/gateway_message.h"
#include "proto/signature.h"

enum { MAX_STEPS = 8, ORDERS = 1 << MAX_STEPS };

#define HASH "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
#define OTHER "0123456789012345678901234567890123456789"
#define KEY  "sha1/aa/f4/c6/" HASH
#define BASE "http://hub.example"

static unsigned char pair[ED25519_PAIR];
static char client_id[SIGNATURE_CLIENT_ID_DIGITS + 1];
static struct loop_clock test_clock;
static struct loop *loop;
static struct memory_bucket *bucket;
static const struct own_url url = {.listen_url = NULL};
static const unsigned char pass_key[LINKS_PASS_KEY] = {1, 2, 3};
static struct gateway_site site = {
    .zone = "default", .has_links = true, .url = &url, .pass_key = pass_key};

/* ---- the world ---- */

static void put_text(const char *name, const char *text)
{
    memory_put(bucket, str_of(name), str_of(text));
}

static void put_client(const char *directory, const char *owner)
{
    struct buf name = {0}, text = {0};

    buf_printf(&name, "%sclients/%s", directory, client_id);
    buf_printf(&text,
               "{\"clientId\":\"%s\",\"ownerId\":\"%s\",\"timestampCreated\":5,\"label\":\"l\"}",
               client_id, owner);
    put_text(buf_cstr(&name), buf_cstr(&text));
    buf_free(&name);
    buf_free(&text);
}

#define USERS                                                                                      \
    "authorizedUsers:\n"                                                                           \
    "  - userId: boss\n    upload: true\n    download: true\n    admin: true\n"

/* The own zone is private, the zone `lab` is open; both have an object and a client. */
static void open_world(void)
{
    struct err e = {0};

    test_clock = (struct loop_clock){.jumps = true, .now_ms = 1000};
    loop = loop_new(&test_clock, &e);
    assert_non_null(loop);
    bucket = memory_bucket_new(loop);
    site.bucket = &bucket->bucket;
    put_text("settings/authorizationSettings.yaml",
             "allowPublicUpload: false\nallowPublicDownload: false\n" USERS);
    put_text("lab-files/settings/authorizationSettings.yaml",
             "allowPublicUpload: true\nauthorizedUsers: []\n");
    put_text("registered-zones/lab",
             "{\"zone\":\"lab\",\"ownerId\":\"o\",\"bucketName\":\"default\","
             "\"directory\":\"lab-files\"}");
    put_text("resources/r", "{\"resourceName\":\"r\",\"ownerId\":\"boss\",\"timestampCreated\":7,"
                            "\"proxyUrl\":\"http://p\"}");
    put_client("", "boss");
    put_client("lab-files/", "somebody");
    put_text(KEY, "hello");
    put_text("lab-files/" KEY, "hello");
}

static void close_world(void)
{
    bucket_free(&bucket->bucket);
    loop_free(loop);
}

static int make_keys(void **state)
{
    unsigned char seed[ED25519_SEED] = {1, 2, 3};

    (void)state;
    log_set_level(LOG_ERROR);
    ed25519_pair(seed, pair);
    for (int i = 0; i < ED25519_PUBLIC; i++)
        snprintf(client_id + 2 * i, 3, "%02x", pair[ED25519_SEED + i]);
    return 0;
}

/* ---- calls ---- */

/* What a client asks, and what it is to be told: a status and a part of the text. */
struct call {
    const char *name;
    struct gateway_payload payload;
    bool is_anonymous;
    int status;
    const char *want;
};

#define PAYLOAD(type_, ...) {.type = type_, .size = -1, __VA_ARGS__}

static const struct call find_private = {
    "find", PAYLOAD("findFile", .hash = HASH), false, 200, "\"found\":true,\"size\":5,"};
static const struct call find_as_stranger = {
    "find as a stranger", PAYLOAD("findFile", .hash = HASH), true, 500,
    "Error: No verified client ID or user ID"};
static const struct call find_in_lab = {
    "find in another zone", PAYLOAD("findFile", .hash = HASH, .zone = "lab"), true, 200,
    "\"url\":\"memory://get/lab-files/" KEY "\""};
static const struct call initiate_there = {
    "initiate", {.type = "initiateFileUpload", .hash = HASH, .size = 5}, false, 200,
    "\"alreadyExists\":true"};
static const struct call initiate_new = {
    "initiate another", {.type = "initiateFileUpload", .hash = OTHER, .size = 7}, false, 200,
    "\"signedUploadUrl\":\"memory://put/sha1/01/23/45/" OTHER "\""};
static const struct call finalize = {
    "finalize", {.type = "finalizeFileUpload", .hash = HASH, .object_key = KEY, .size = 5}, false,
    200, "{\"type\":\"finalizeFileUpload\"}"};
static const struct call finalize_other_size = {
    "finalize another size", {.type = "finalizeFileUpload", .hash = HASH, .object_key = KEY,
                              .size = 6}, false, 500, "Error: Unexpected object size: 5 <> 6"};
static const struct call delete_it = {
    "delete", PAYLOAD("deleteFile", .hash = HASH), false, 200, "\"success\":true"};
static const struct call client_info = {
    "client", PAYLOAD("getClientInfo", .client_id = client_id, .zone = "lab"), true, 200,
    "\"ownerId\":\"somebody\""};
static const struct call resource_info = {
    "resource", PAYLOAD("getResourceInfo", .resource_name = "r"), true, 200,
    "\"proxyUrl\":\"http://p\""};
static const struct call no_zone = {
    "no such zone", PAYLOAD("findFile", .hash = HASH, .zone = "none"), true, 500,
    "Error: Zone not found: none"};

static const struct call create_link = {
    "create a link",
    PAYLOAD("createLink", .hash = HASH, .name = "a b/c.h5", .expires_ms = INT64_C(2) << 41), false,
    200, "/a%20b/c.h5\",\"expires\":4398046511104}"};
static const struct call list_links = {
    "list links", PAYLOAD("listLinks", .after = NULL), false, 200, "\"links\":["};
static const struct call revoke_links = {
    "revoke links", PAYLOAD("revokeLink", .hash = HASH), false, 200, "\"revoked\":"};
static const struct call read_private = {
    "read", PAYLOAD("readFile", .hash = OTHER), false, 200,
    "{\"type\":\"readFile\",\"url\":\"" BASE "/f/~" OTHER};
static const struct call read_as_stranger = {
    "read as a stranger", PAYLOAD("readFile", .hash = HASH), true, 500,
    "Error: No verified client ID or user ID"};

/* What became of a call. */
struct caller {
    const struct call *call;
    struct gateway_run *run;
    int status; /* 0: it waits */
    int ends;
    struct buf answer;
};

static void on_done(void *owner, int status, const struct buf *answer)
{
    struct caller *c = owner;

    c->run = NULL;
    c->status = status;
    c->ends++;
    buf_put_buf(&c->answer, answer);
}

static void start(struct caller *c, const struct call *call)
{
    struct buf canonical = {0}, request = {0};
    char signature[SIGNATURE_DIGITS + 1];

    *c = (struct caller){.call = call};
    gateway_message_put_payload(&canonical, &call->payload, clock_wall_ms());
    signature_make(pair, buf_str(&canonical), signature);
    gateway_message_put_request(&request, buf_str(&canonical), call->is_anonymous ? "" : client_id,
                                signature);
    const struct gateway_start what = {.site = &site,
                                       .request = buf_str(&request),
                                       .base_url = STR(BASE),
                                       .on_done = on_done,
                                       .owner = c};
    c->status = gateway_calls_start(&what, &c->run, &c->answer);
    buf_wipe(&request); /* it is borrowed for the start alone */
    buf_free(&canonical);
}

/* One round of the loop, in which callbacks come. */
static void turn(void)
{
    rounds_run(loop, 1);
}

static void check(const char *name, struct caller *c)
{
    struct buf told = {0};

    buf_printf(&told, "%s, %s", name, c->call->name);
    unit_true(buf_cstr(&told), c->status == c->call->status);
    if (strstr(buf_cstr(&c->answer), c->call->want) == NULL)
        unit_equal(buf_cstr(&told), buf_cstr(&c->answer), c->call->want);
    buf_free(&told);
    buf_free(&c->answer);
}

static unsigned choices; /* how many bits of an order were read */

/* Whether all is done; else the bucket completes a call: where there are several, the first or the
 * last, as the order's next bit says. */
static bool step(unsigned *order)
{
    if (bucket->pending_count == 0)
        return false;
    if (bucket->pending_count == 1) {
        memory_complete(bucket, 0);
    } else {
        memory_complete(bucket, *order % 2 == 0 ? 0 : bucket->pending_count - 1);
        *order /= 2;
        choices++;
    }
    turn();
    return true;
}

/* ---- tests ---- */

static const struct call *const all[] = {
    &find_private, &find_as_stranger, &find_in_lab, &initiate_there, &initiate_new,
    &finalize,     &finalize_other_size, &delete_it, &client_info,    &resource_info, &no_zone,
    &create_link,  &list_links,          &revoke_links,   &read_private,  &read_as_stranger};

/* Each alone. */
static void test_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(all); i++) {
        struct caller c;
        unsigned order = 0;
        open_world();
        start(&c, all[i]);
        while (step(&order))
            continue;
        check("alone", &c);
        close_world();
    }
}

/* The order after this one, of which the first `used` bits were read; 0 after the last. */
static unsigned next_order(unsigned order, unsigned used)
{
    for (unsigned i = used; i-- > 0;)
        if ((order & 1u << i) == 0)
            return (order & ((1u << i) - 1)) | 1u << i;
    return 0;
}

/* Two at once, in every order in which the bucket may complete what they ask: each hears what it
 * hears alone. What deletes is told apart below. */
static void test_two_in_every_order(void **state)
{
    size_t count = 0;

    (void)state;
    for (size_t a = 0; a < UNIT_COUNT(all); a++)
        for (size_t b = 0; b < UNIT_COUNT(all); b++) {
            unsigned order = 0;
            if (all[a] == &delete_it || all[b] == &delete_it)
                continue;
            do {
                struct caller first, second;
                unsigned rest = order;
                choices = 0;
                open_world();
                start(&first, all[a]);
                start(&second, all[b]);
                while (step(&rest))
                    continue;
                check("first", &first);
                check("second", &second);
                close_world();
                count++;
            } while ((order = next_order(order, choices)) != 0);
        }
    assert_int_equal(count, 2690);
}

/* A search while the object is deleted: it is there or not, and the deletion has done it once. */
static void test_delete_meanwhile(void **state)
{
    unsigned found = 0, absent = 0;

    (void)state;
    for (unsigned order = 0; order < ORDERS; order++) {
        struct caller search, first, second;
        unsigned rest = order;
        open_world();
        start(&search, &find_private);
        start(&first, &delete_it);
        start(&second, &delete_it);
        while (step(&rest))
            continue;
        assert_true(search.status == 200 && first.status == 200 && second.status == 200);
        bool is_found = strstr(buf_cstr(&search.answer), "\"found\":true") != NULL;
        found += is_found;
        absent += !is_found && strstr(buf_cstr(&search.answer), "\"found\":false") != NULL;
        assert_int_equal((strstr(buf_cstr(&first.answer), "\"success\":true") != NULL) +
                             (strstr(buf_cstr(&second.answer), "\"success\":true") != NULL),
                         1);
        assert_null(memory_find(bucket, STR(KEY)));
        buf_free(&search.answer);
        buf_free(&first.answer);
        buf_free(&second.answer);
        close_world();
    }
    assert_true(found > 0 && absent > 0 && found + absent == ORDERS);
}

/* An object that is damaged is as good as not there; one of another size goes. */
static void test_damaged(void **state)
{
    static const struct {
        const struct call *call;
        int status;
        const char *want;
        bool stays;
    } cases[] = {
        {&find_private, 200, "\"found\":false", true},
        {&initiate_there, 200, "\"alreadyExists\":false", true},
        {&finalize, 500, "Error: The object is damaged: upload it again", true},
        {&finalize_other_size, 500, "Error: Unexpected object size: 5 <> 6", false},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct call call = *cases[i].call;
        struct caller c;
        unsigned order = 0;
        call.status = cases[i].status;
        call.want = cases[i].want;
        open_world();
        memory_find(bucket, STR(KEY))->is_damaged = true;
        start(&c, &call);
        while (step(&order))
            continue;
        unit_true(call.name, (memory_find(bucket, STR(KEY)) != NULL) == cases[i].stays);
        check("damaged", &c);
        close_world();
    }
}

/* Whatever fails, the client hears of a failure: never that something is not there, or of what a
 * private zone has. */
static void test_each_failure(void **state)
{
    unsigned failures = 0;

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(all); i++) {
        unsigned made = 1;
        for (unsigned at = 1; at <= made; at++) {
            struct call call = *all[i];
            struct caller c;
            unsigned order = 0;
            call.status = 500;
            call.want = "Error: the bucket is broken";
            open_world();
            bucket->fail_at = at;
            start(&c, &call);
            assert_int_equal(c.status, 0);
            do
                turn();
            while (step(&order));
            made = bucket->made > made ? bucket->made : made;
            assert_int_equal(bucket->made, at); /* nothing is asked after it */
            check("broken", &c);
            close_world();
            open_world(); /* how many it makes when nothing fails */
            order = 0;
            start(&c, all[i]);
            while (step(&order))
                continue;
            made = bucket->made;
            buf_free(&c.answer);
            close_world();
            failures++;
        }
    }
    assert_int_equal(failures, 39);
}

/* A client that leaves while any of the calls waits: what was asked is given up, nobody is called,
 * and another client's call goes on. */
static void test_client_leaves(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(all); i++)
        for (unsigned after = 0;; after++) {
            struct caller leaves, stays;
            unsigned order = 0;
            bool has_waited;
            open_world();
            start(&leaves, all[i]);
            for (unsigned k = 0; k < after; k++)
                step(&order);
            has_waited = leaves.run != NULL;
            start(&stays, &resource_info);
            if (has_waited)
                gateway_calls_cancel(leaves.run);
            assert_int_equal(bucket->cancelled, has_waited ? 1 : 0);
            order = 0;
            while (step(&order))
                continue;
            assert_int_equal(leaves.ends, has_waited ? 0 : 1);
            check("stays", &stays);
            buf_free(&leaves.answer);
            close_world();
            if (!has_waited)
                break;
        }
}

/* The same in the moment between the bucket's completion and the callback. */
static void test_client_leaves_just_then(void **state)
{
    struct caller c;

    (void)state;
    open_world();
    start(&c, &find_private);
    memory_complete(bucket, 0);
    gateway_calls_cancel(c.run);
    turn();
    assert_int_equal(c.ends, 0);
    close_world();
}

static bool is_answered(void *owner)
{
    return ((const struct caller *)owner)->status != 0;
}

/* A bucket far away, by the clock of the loop alone: the last asked is done first. */
static void test_late(void **state)
{
    struct caller first, second;
    struct err e = {0};

    (void)state;
    open_world();
    bucket->delay_ms = 30000;
    start(&first, &find_private);
    start(&second, &resource_info);
    assert_int_equal(loop_run_until(loop, is_answered, &first, &e), 0);
    assert_int_equal(loop_now_ms(loop), 1000 + 4 * 30000);
    check("late", &first);
    check("sooner", &second);
    close_world();
}

static void test_without_a_call(void **state)
{
    struct call call = {"no client", {.type = "initiateFileUpload", .hash = HASH, .size = 5}, true,
                        500, "Error: No verified client ID or user ID"};
    struct caller c;

    (void)state;
    open_world();
    start(&c, &call);
    assert_int_equal(bucket->made, 0);
    check("at once", &c);
    call = (struct call){"zone", PAYLOAD("getClientInfo", .client_id = client_id, .zone = "a/b"),
                         true, 200, "\"found\":false"};
    start(&c, &call);
    assert_int_equal(bucket->made, 0);
    check("at once", &c);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_two_in_every_order),
        cmocka_unit_test(test_delete_meanwhile),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_each_failure),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_client_leaves_just_then),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_without_a_call),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
