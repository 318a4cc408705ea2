/* Who is not let into an http_server is told so. */
#include "http_world.h"

static bool let_nobody_in(void *owner, const struct addr *peer, uint64_t *tag)
{
    (void)owner;
    assert_true(peer->storage.ss_family == AF_INET && *tag == 0);
    return false;
}

/* Of all connections, or of who the owner of the server does not let in. */
static void check_cap(size_t max_connections, const char *reason)
{
    struct http_world w = {0};
    struct buf summary = {0};
    struct err e = {0};
    struct addr bound;
    int fd, second;

    w.options.max_connections = max_connections;
    w.options.on_accepted = let_nobody_in;
    w.options.times = http_server_times();
    world_open(&w);
    assert_int_equal(addr_listen(STR("127.0.0.1:0"), &fd, &bound, &e), 0);
    assert_int_equal(http_server_listen(w.server, fd, &e), 0);
    second = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(second, (struct sockaddr *)&bound.storage, bound.len), 0);
    fcntl(second, F_SETFL, O_NONBLOCK);
    loop_remove(w.loop, &w.client);
    close(w.client.fd);
    /* The first is only closed when the loop runs: the second comes while it counts. */
    w.client.fd = second;
    assert_int_equal(loop_add(w.loop, &w.client, LOOP_READ, &e), 0);
    world_run(&w, "cap");
    world_summary(&w, false, &summary);
    unit_equal("second", buf_cstr(&summary), reason);
    world_close(&w);
    buf_free(&summary);
}

static void test_cap(void **state)
{
    (void)state;
    check_cap(1, "503 {\"message\":\"too many connections, try again later\"}");
    check_cap(2, "503 {\"message\":\"too many connections from this address, try again later\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cap)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
