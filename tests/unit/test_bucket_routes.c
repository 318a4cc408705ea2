/* PUT and GET of objects, and a gateway's call, over HTTP and a bucket that answers late: what the
 * client gets, and what becomes of a client that leaves while the bucket is asked. */
#include "http_world.h"
#include "memory_bucket.h"

#include "base/log.h"
#include "bucket/bucket_routes.h"
#include "gateway/gateway_api.h"

enum { LARGE = 700000 };

#define HELLO_HASH "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" /* "hello" */
#define HELLO_KEY  "sha1/aa/f4/c6/" HELLO_HASH

static struct http_world w;
static struct memory_bucket *bucket;
static struct bucket_routes served;
static struct gateway_site site = {.zone = "default"};
static char listen_url[] = "http://hub";
static struct own_url url = {.listen_url = listen_url};
static struct http_route routes[BUCKET_ROUTES + GATEWAY_API_ROUTES];
static const unsigned char url_key[SIGNED_URL_KEY] = {7};
static struct buf request;

static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    w = (struct http_world){.options = {.routes = routes,
                                        .route_count = UNIT_COUNT(routes),
                                        .times = http_server_times()}};
    bucket = memory_bucket_new(NULL);
    served = (struct bucket_routes){&bucket->bucket, url_key};
    bucket_routes_put(&served, routes);
    site.url = &url;
    site.page_key = url_key;
    site.bucket = &bucket->bucket;
    gateway_api_put_routes(&site, routes + BUCKET_ROUTES);
    world_open(&w);
    bucket->bucket.loop = w.loop;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    /* As a worker ends: the connections first, then the bucket, the loop last. */
    struct loop *loop = w.loop;
    if (w.client.is_added)
        loop_remove(loop, &w.client);
    http_server_free(w.server);
    if (w.client.fd >= 0)
        close(w.client.fd);
    bucket_free(&bucket->bucket);
    loop_free(loop);
    buf_free(&w.got);
    buf_free(&request);
    return 0;
}

/* Appends a request for an object with a signed URL. */
static void put_request(const char *method, const char *key, int64_t size, const char *rest)
{
    const struct signed_url signed_url = {.is_put = strcmp(method, "PUT") == 0,
                                          .object_key = str_of(key),
                                          .size = size,
                                          .expires_ms = clock_wall_ms() + 60000};

    buf_printf(&request, "%s ", method);
    signed_url_put(&request, STR(""), url_key, &signed_url);
    buf_printf(&request, " HTTP/1.1\r\nHost: hub\r\n%s", rest);
}

static void send_all(struct str text)
{
    while (text.len > 0) {
        ssize_t n = send(w.client.fd, text.p, text.len, MSG_NOSIGNAL);
        assert_true(n > 0);
        text = str_slice(text, (size_t)n, text.len);
    }
}

static void turn(void)
{
    rounds_run(w.loop, 5);
}

/* What the client has got by now begins so. */
static void check_got(const char *name, const char *want)
{
    unit_equal_str(name, str_slice(buf_str(&w.got), 0, strlen(want)), str_of(want));
}

static void leave(void)
{
    loop_remove(w.loop, &w.client);
    close(w.client.fd);
    w.client.fd = -1;
    turn();
}

/* The object is there when the bucket says so, and the client hears of it then. */
static void test_put(void **state)
{
    (void)state;
    put_request("PUT", HELLO_KEY, 5, "Content-Length: 5\r\n\r\nhello");
    send_all(buf_str(&request));
    for (int i = 0; i < 3; i++) { /* open, write, close */
        turn();
        assert_int_equal(bucket->pending_count, 1);
        assert_int_equal(w.got.len, 0);
        assert_null(memory_find(bucket, STR(HELLO_KEY)));
        memory_complete(bucket, 0);
    }
    turn();
    check_got("put", "HTTP/1.1 200 OK\r\n");
    assert_non_null(memory_find(bucket, STR(HELLO_KEY)));
    assert_int_equal(bucket->uploads, 0);
}

/* A client that waits for "100 Continue" sends nothing for which there is no room. */
static void test_continue(void **state)
{
    (void)state;
    put_request("PUT", HELLO_KEY, 5, "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    send_all(buf_str(&request));
    turn();
    assert_int_equal(w.got.len, 0);
    memory_complete(bucket, 0);
    turn();
    check_got("continue", "HTTP/1.1 100 Continue\r\n\r\n");
    buf_clear(&w.got);
    bucket->completes = true;
    send_all(STR("hello"));
    turn();
    check_got("put", "HTTP/1.1 200 OK\r\n");
}

/* The bucket fails at each of the steps. */
static void test_put_fails(void **state)
{
    for (unsigned at = 1; at <= 3; at++) {
        if (at > 1)
            set_up(state);
        bucket->completes = true;
        bucket->fail_at = at;
        put_request("PUT", HELLO_KEY, 5, "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        send_all(buf_str(&request));
        turn();
        if (at == 1) {
            check_got("open", "HTTP/1.1 500 ");
        } else {
            check_got("open", "HTTP/1.1 100 Continue\r\n\r\n");
            buf_clear(&w.got);
            send_all(STR("hello"));
            turn();
            check_got("later", "HTTP/1.1 500 ");
        }
        assert_non_null(strstr(buf_cstr(&w.got), "the bucket is broken"));
        assert_null(memory_find(bucket, STR(HELLO_KEY)));
        assert_int_equal(bucket->uploads, 0);
        if (at < 3)
            tear_down(state);
    }
}

static void test_wrong_bytes(void **state)
{
    (void)state;
    bucket->completes = true;
    put_request("PUT", HELLO_KEY, 5, "Content-Length: 5\r\n\r\njello");
    send_all(buf_str(&request));
    turn();
    check_got("wrong", "HTTP/1.1 400 ");
    assert_non_null(strstr(buf_cstr(&w.got), "<Code>BadDigest</Code>"));
    assert_null(memory_find(bucket, STR(HELLO_KEY)));
}

/* A client that leaves while the bucket opens, writes or closes: nothing is left of its upload. */
static void test_put_leaves(void **state)
{
    for (int after = 0; after < 3; after++) {
        if (after > 0)
            set_up(state);
        put_request("PUT", HELLO_KEY, 5, "Content-Length: 5\r\n\r\nhello");
        send_all(buf_str(&request));
        turn();
        for (int i = 0; i < after; i++) {
            memory_complete(bucket, 0);
            turn();
        }
        assert_int_equal(bucket->pending_count, 1);
        leave();
        assert_int_equal(bucket->cancelled, 1);
        assert_int_equal(bucket->uploads, 0);
        assert_null(memory_find(bucket, STR(HELLO_KEY)));
        if (after < 2)
            tear_down(state);
    }
}

static void put_large(void)
{
    struct buf bytes = {0};

    for (int i = 0; i < LARGE; i++)
        buf_putc(&bytes, (char)('a' + i % 23));
    memory_put(bucket, STR(HELLO_KEY), buf_str(&bytes));
    buf_free(&bytes);
}

/* Without descriptors the object is read part by part; each is asked for when it is wanted. */
static void test_get(void **state)
{
    static const struct {
        const char *name, *method, *headers, *status;
        size_t start, length;
    } cases[] = {
        {"all", "GET", "", "200 OK", 0, LARGE},
        {"a range", "GET", "Range: bytes=262000-524400\r\n", "206 Partial Content", 262000, 262401},
        {"the end", "GET", "Range: bytes=-3\r\n", "206 Partial Content", LARGE - 3, 3},
        {"behind", "GET", "Range: bytes=700000-\r\n", "416 Range Not Satisfiable", 0, 0},
        {"head", "HEAD", "", "200 OK", 0, 0},
        {"known", "GET", "If-None-Match: \"" HELLO_HASH "\"\r\n", "304 Not Modified", 0, 0},
        {"another", "GET", "If-Match: \"x\"\r\n", "412 Precondition Failed", 0, 0},
    };

    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        struct buf line = {0}, headers = {0};
        if (i > 0)
            set_up(state);
        put_large();
        bucket->delay_ms = 1;
        buf_printf(&headers, "%sConnection: close\r\n\r\n", cases[i].headers);
        put_request(cases[i].method, HELLO_KEY, 0, buf_cstr(&headers));
        world_talk(&w, cases[i].name, buf_str(&request), 0, request.len);
        buf_printf(&line, "HTTP/1.1 %s\r\n", cases[i].status);
        check_got(cases[i].name, buf_cstr(&line));
        const char *end = strstr(buf_cstr(&w.got), "\r\n\r\n");
        assert_non_null(end);
        size_t at = (size_t)(end + 4 - w.got.data);
        unit_true(cases[i].name, w.got.len - at == cases[i].length);
        for (size_t k = 0; k < cases[i].length; k++)
            assert_int_equal(w.got.data[at + k], 'a' + (int)((cases[i].start + k) % 23));
        buf_free(&line);
        buf_free(&headers);
        if (i + 1 < UNIT_COUNT(cases))
            tear_down(state);
    }
}

/* What cannot be completed ends the connection; the client has less than was announced. */
static void test_get_cut(void **state)
{
    (void)state;
    put_large();
    bucket->completes = true;
    bucket->fail_at = 3; /* the look, the first part, the second */
    put_request("GET", HELLO_KEY, 0, "\r\n");
    world_talk(&w, "cut", buf_str(&request), 0, request.len);
    check_got("cut", "HTTP/1.1 200 OK\r\n");
    assert_true(w.got.len > 262144 && w.got.len < LARGE);
    assert_true(w.is_ended);
}

static void test_get_leaves(void **state)
{
    (void)state;
    put_large();
    put_request("GET", HELLO_KEY, 0, "\r\n");
    send_all(buf_str(&request));
    turn();
    memory_complete(bucket, 0);
    turn();
    assert_int_equal(bucket->pending_count, 1); /* the first part */
    leave();
    assert_int_equal(bucket->cancelled, 1);
}

/* A body that nobody asked for is no request, however late the answer comes. */
static void test_get_with_body(void **state)
{
    (void)state;
    put_request("GET", HELLO_KEY, 0,
                "Content-Length: 27\r\n\r\nGET /bucket/x HTTP/1.1\r\n\r\n\n");
    send_all(buf_str(&request));
    turn();
    memory_complete(bucket, 0);
    turn();
    check_got("first", "HTTP/1.1 404 ");
    assert_null(strstr(buf_cstr(&w.got) + 1, "HTTP/1.1 "));
    assert_int_equal(bucket->made, 1);
}

#define FIND                                                                                       \
    "{\"payload\":{\"type\":\"findFile\",\"timestamp\":%lld,\"hashAlg\":\"sha1\",\"hash\":"        \
    "\"" HELLO_HASH "\"}}"

/* A caller of the gateway that leaves, and one that stays and asks again on the same connection. */
static void test_caller(void **state)
{
    struct buf body = {0};

    for (int leaves = 0; leaves < 2; leaves++) {
        if (leaves > 0)
            set_up(state);
        buf_clear(&body);
        buf_printf(&body, FIND, (long long)clock_wall_ms());
        buf_printf(&request,
                   "POST /api/gateway HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   body.len, buf_cstr(&body));
        send_all(buf_str(&request));
        turn();
        assert_int_equal(bucket->pending_count, 1); /* the settings */
        if (leaves) {
            leave();
            assert_int_equal(bucket->cancelled, 1);
            continue;
        }
        bucket->completes = true;
        memory_complete(bucket, 0);
        turn();
        check_got("first", "HTTP/1.1 200 OK\r\n");
        assert_non_null(strstr(buf_cstr(&w.got), "\"found\":false"));
        buf_clear(&w.got);
        send_all(buf_str(&request));
        turn();
        check_got("second", "HTTP/1.1 200 OK\r\n");
        tear_down(state);
    }
    buf_free(&body);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_put),
        WITH_WORLD(test_continue),
        WITH_WORLD(test_put_fails),
        WITH_WORLD(test_wrong_bytes),
        WITH_WORLD(test_put_leaves),
        WITH_WORLD(test_get),
        WITH_WORLD(test_get_cut),
        WITH_WORLD(test_get_leaves),
        WITH_WORLD(test_get_with_body),
        WITH_WORLD(test_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
