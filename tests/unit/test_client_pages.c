/* The registration pages on a bucket that answers late and in any order: two registrations of one
 * client at once, visitors that leave, and a bucket of which each call fails. */
#include "http_world.h"
#include "memory_bucket.h"

#include "base/log.h"
#include "gateway/client_pages.h"
#include "proto/extensions.h"
#include "proto/signature.h"

enum { STEPS = 6, ORDERS = 1 << STEPS };

static struct http_world w;
static int other; /* the second client's end */
static struct memory_bucket *bucket;
static char listen_url[] = "http://hub";
static const unsigned char page_key[32] = {9};
static const struct own_url url = {.listen_url = listen_url};
static struct gateway_site site = {.zone = "default", .url = &url, .page_key = page_key};
static struct http_route routes[CLIENT_PAGES_ROUTES];
static char client_id[SIGNATURE_CLIENT_ID_DIGITS + 1], signature[SIGNATURE_DIGITS + 1];

static int make_keys(void **state)
{
    unsigned char seed[ED25519_SEED] = {4, 5}, pair[ED25519_PAIR];

    (void)state;
    log_set_level(LOG_ERROR);
    ed25519_pair(seed, pair);
    for (int i = 0; i < ED25519_PUBLIC; i++)
        snprintf(client_id + 2 * i, 3, "%02x", pair[ED25519_SEED + i]);
    signature_make(pair, STR("{\"type\":\"addClient\"}"), signature);
    return 0;
}

static void open_world(void)
{
    struct err e = {0};
    int ends[2];

    w = (struct http_world){.options = {.routes = routes,
                                        .route_count = CLIENT_PAGES_ROUTES,
                                        .times = http_server_times()}};
    bucket = memory_bucket_new(NULL);
    site.bucket = &bucket->bucket;
    site.is_open = true;
    client_pages_put_routes(&site, routes);
    world_open(&w);
    bucket->bucket.loop = w.loop;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    other = ends[0];
    assert_int_equal(http_server_adopt(w.server, ends[1], STR(""), 78, &e), 0);
}

static void close_world(void)
{
    struct loop *loop = w.loop;

    if (w.client.is_added)
        loop_remove(loop, &w.client);
    http_server_free(w.server);
    if (w.client.fd >= 0)
        close(w.client.fd);
    close(other);
    bucket_free(&bucket->bucket);
    loop_free(loop);
    buf_free(&w.got);
}

static void turn(void)
{
    rounds_run(w.loop, 3);
}

static void send_request(int fd, const char *method, const char *label)
{
    struct buf request = {0};

    buf_printf(&request,
               "%s /registerClient/%s?signature=%s&label=%s HTTP/1.1\r\nHost: hub\r\n"
               EXTENSIONS_REGISTER_HEADER ": 1\r\nContent-Length: 0\r\n\r\n",
               method, client_id, signature, label);
    assert_int_equal(send(fd, request.data, request.len, MSG_NOSIGNAL), request.len);
    buf_free(&request);
    turn();
}

static const char *stored(void)
{
    struct buf name = {0};
    struct memory_item *item;

    buf_printf(&name, "clients/%s", client_id);
    item = memory_find(bucket, buf_str(&name));
    buf_free(&name);
    return item == NULL ? NULL : buf_cstr(&item->bytes);
}

/* Whoever comes first is registered; both hear of that one. */
static void test_two_at_once(void **state)
{
    (void)state;
    for (unsigned order = 0; order < ORDERS; order++) {
        char got[4096] = "";
        unsigned rest = order;
        open_world();
        send_request(w.client.fd, "POST", "first");
        send_request(other, "POST", "second");
        while (bucket->pending_count > 0) {
            memory_complete(bucket, rest % 2 == 0 ? 0 : bucket->pending_count - 1);
            rest /= 2;
            turn();
        }
        assert_true(read(other, got, sizeof got - 1) > 0);
        const char *label = strstr(stored(), "\"first\"") != NULL ? "(first)" : "(second)";
        assert_int_equal(bucket->last_version, 1);
        assert_non_null(strstr(buf_cstr(&w.got), "200 OK"));
        assert_non_null(strstr(buf_cstr(&w.got), label));
        assert_non_null(strstr(got, "200 OK"));
        assert_non_null(strstr(got, label));
        close_world();
    }
}

static void test_each_failure(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= 3; at++) {
        open_world();
        bucket->completes = true;
        bucket->fail_at = at;
        send_request(w.client.fd, "POST", "label");
        turn();
        assert_int_equal(bucket->made, at);
        assert_non_null(strstr(buf_cstr(&w.got), "500 "));
        assert_null(strstr(buf_cstr(&w.got), "the bucket is broken")); /* for the log */
        assert_true((stored() != NULL) == (at == 3));
        close_world();
    }
}

static void test_visitor_leaves(void **state)
{
    (void)state;
    for (int after = 0; after < 3; after++) {
        open_world();
        send_request(w.client.fd, "POST", "label");
        for (int i = 0; i < after; i++) {
            memory_complete(bucket, 0);
            turn();
        }
        assert_int_equal(bucket->pending_count, 1);
        loop_remove(w.loop, &w.client);
        close(w.client.fd);
        w.client.fd = -1;
        turn();
        assert_int_equal(bucket->cancelled, 1);
        close_world();
    }
}

/* A page changes nothing; where registration is closed, nothing is written. */
static void test_nothing_is_written(void **state)
{
    (void)state;
    for (int is_open = 0; is_open < 2; is_open++) {
        open_world();
        bucket->completes = true;
        site.is_open = is_open;
        send_request(w.client.fd, is_open ? "GET" : "POST", "label");
        assert_non_null(strstr(buf_cstr(&w.got), is_open ? "200 OK" : "403 Forbidden"));
        assert_null(stored());
        assert_int_equal(bucket->made, 1);
        close_world();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_each_failure),
        cmocka_unit_test(test_visitor_leaves),
        cmocka_unit_test(test_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
