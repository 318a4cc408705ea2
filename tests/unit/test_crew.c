/* Connections that go to a worker process and come back. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "http/crew.h"
#include "http_world.h"
#include "proc/process.h"

static struct crew *crew;
static pid_t *stuck_pid; /* shared with the workers */

/* ---- the worker ---- */

static void on_worker(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf text = {0};

    (void)owner;
    buf_printf(&text, "worker %.*s", STR_ARG(request->body));
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = buf_str(&text)});
    buf_free(&text);
}

static void on_pid(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf text = {0};

    (void)request;
    (void)owner;
    buf_printf(&text, "%d", (int)getpid());
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = buf_str(&text)});
    buf_free(&text);
}

static void on_suicide(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)conn;
    (void)request;
    (void)owner;
    raise(SIGKILL);
}

/* As if it waited for a disk that does not answer. */
static void on_stuck(struct http_conn *conn, const struct http_request *request, void *owner)
{
    on_pid(conn, request, owner);
    *stuck_pid = getpid();
    raise(SIGSTOP);
}

static const struct http_route worker_routes[] = {
    {"POST", "/worker", 100000, on_worker, NULL, false, false, NULL},
    {"GET", "/pid", 0, on_pid, NULL, false, false, NULL},
    {"GET", "/suicide", 0, on_suicide, NULL, false, false, NULL},
    {"GET", "/stuck", 0, on_stuck, NULL, false, false, NULL},
};

static int run_worker(int fd, void *ctx)
{
    struct crew_worker_options options = {.routes = worker_routes,
                                          .route_count = UNIT_COUNT(worker_routes),
                                          .times = http_server_times()};

    (void)ctx;
    return crew_worker_run(fd, &options);
}

/* ---- the hub ---- */

static void on_hub(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)request;
    (void)owner;
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = STR("hub")});
}

static void give(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)owner;
    crew_give(conn, request, crew);
}

static int closed; /* connections that the crew said are closed */

static void on_closed(void *owner, uint64_t tag)
{
    (void)owner;
    assert_int_equal(tag, WORLD_TAG);
    closed++;
}

static void on_return(void *owner, int fd, struct str bytes, uint64_t tag)
{
    struct http_world *w = owner;
    struct err e = {0};

    w->gone++; /* counts those that came back */
    assert_int_equal(tag, WORLD_TAG);
    assert_int_equal(http_server_adopt(w->server, fd, bytes, tag, &e), 0);
}

static const struct http_route hub_routes[] = {
    {"GET", "/hub", 0, on_hub, NULL, false, false, NULL},
    {"POST", "/worker", 0, NULL, give, true, false, NULL},
    {"GET", "/pid", 0, NULL, give, true, false, NULL},
    {"GET", "/suicide", 0, NULL, give, true, false, NULL},
    {"GET", "/stuck", 0, NULL, give, true, false, NULL},
};

static int64_t ping_ms = 60000, stuck_ms = 60000, kill_ms = 60000;

static void open_hub(struct http_world *w, unsigned max_workers, int64_t idle_ms)
{
    struct crew_options options = {.name = "crew",
                                   .max_workers = max_workers,
                                   .idle_ms = idle_ms,
                                   .run = run_worker,
                                   .on_return = on_return,
                                   .on_closed = on_closed,
                                   .ping_ms = ping_ms,
                                   .stuck_ms = stuck_ms,
                                   .kill_ms = kill_ms,
                                   .owner = w};
    struct err e = {0};

    w->options.routes = hub_routes;
    w->options.route_count = UNIT_COUNT(hub_routes);
    w->options.times = http_server_times();
    world_open(w);
    closed = 0;
    options.loop = w->loop;
    crew = crew_new(&options, &e);
    assert_non_null(crew);
}

static void close_hub(struct http_world *w)
{
    crew_free(crew);
    world_close(w);
}

/* Runs the loop until the claim holds. */
#define run_until(w, claim)                                                                        \
    do {                                                                                           \
        struct loop_timer tick = {.call = on_tick, .owner = (w)};                               \
        for (int turns = 0; !(claim); turns++) {                                                   \
            assert_true(turns < WORLD_PATIENCE_MS);                                                \
            loop_set_timer((w)->loop, &tick, clock_now_ms() + 1);                                  \
            world_run((w), #claim);                                                                \
        }                                                                                          \
    } while (0)

static void on_tick(void *owner)
{
    world_stop(owner);
}

static void hang_up(struct http_world *w)
{
    close(w->client.fd);
    w->client.fd = -1;
}

#define H     " HTTP/1.1\r\nHost: h\r\n"
#define CLOSE "Connection: close\r\n"

static const struct talk_case {
    const char *name, *text, *want;
    int returns;
} talk_cases[] = {
    {"one", "POST /worker" H CLOSE "Content-Length: 2\r\n\r\nhi", "200 worker hi", 0},
    {"two",
     "POST /worker" H "Content-Length: 1\r\n\r\na"
     "POST /worker" H CLOSE "Content-Length: 1\r\n\r\nb",
     "200 worker a | 200 worker b", 0},
    {"there and back",
     "GET /hub" H "\r\nPOST /worker" H "Content-Length: 1\r\n\r\naGET /hub" H "\r\n"
     "POST /worker" H "Content-Length: 1\r\n\r\nbGET /hub" H CLOSE "\r\n",
     "200 hub | 200 worker a | 200 hub | 200 worker b | 200 hub", 2},
    {"not HTTP in the worker", "POST /worker" H "Content-Length: 1\r\n\r\na\x01\r\n\r\n",
     "200 worker a | 400 ", 0},
};

static void check_talk(const struct talk_case *c, size_t first, size_t piece)
{
    struct http_world w = {0};
    struct buf summary = {0};
    size_t length = strlen(c->want);

    open_hub(&w, 2, 60000);
    world_talk(&w, c->name, str_of(c->text), first, piece);
    world_summary(&w, false, &summary);
    unit_equal_str(c->name, str_slice(buf_str(&summary), 0, length), str_of(c->want));
    unit_true(c->name, w.gone == c->returns);
    hang_up(&w); /* so that nobody lingers for us */
    run_until(&w, crew_connections(crew) == 0);
    unit_true(c->name, closed <= 1);
    unit_true(c->name, crew_workers(crew) == 1);
    close_hub(&w);
    buf_free(&summary);
}

static void test_talk(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(talk_cases); i++) {
        size_t length = strlen(talk_cases[i].text);
        check_talk(&talk_cases[i], 0, length);
        for (size_t first = 1; first < length; first += 7)
            check_talk(&talk_cases[i], first, length);
    }
}

static void test_idle_connection_comes_back(void **state)
{
    struct http_world w = {0};
    struct buf summary = {0};

    (void)state;
    open_hub(&w, 1, 60000);
    w.stop_after = 1;
    world_talk(&w, "first", STR("POST /worker" H "\r\n"), 0, 500);
    assert_int_equal(crew_connections(crew), 1);
    run_until(&w, crew_connections(crew) == 0);
    assert_int_equal(w.gone, 1);
    assert_int_equal(http_server_count(w.server), 1);
    w.stop_after = 0;
    world_talk(&w, "second", STR("GET /hub" H CLOSE "\r\n"), 0, 500);
    world_summary(&w, false, &summary);
    unit_equal("answers", buf_cstr(&summary), "200 worker  | 200 hub");
    close_hub(&w);
    buf_free(&summary);
}

static void test_idle_worker_leaves(void **state)
{
    struct http_world w = {0};

    (void)state;
    open_hub(&w, 1, WORLD_SHORT_MS);
    world_talk(&w, "talk", STR("POST /worker" H CLOSE "\r\n"), 0, 500);
    hang_up(&w);
    run_until(&w, crew_workers(crew) == 0);
    close_hub(&w);
}

/* A crash costs the connections of that worker only. */
static void test_worker_dies(void **state)
{
    struct http_world w = {0};
    struct buf summary = {0};

    (void)state;
    open_hub(&w, 1, 60000);
    world_talk(&w, "death", STR("GET /suicide" H "\r\n"), 0, 500);
    assert_int_equal(w.got.len, 0);
    run_until(&w, crew_workers(crew) == 0);
    assert_int_equal(crew_connections(crew), 0);
    assert_int_equal(closed, 1);
    close_hub(&w);

    w = (struct http_world){0};
    open_hub(&w, 1, 60000);
    world_talk(&w, "life", STR("POST /worker" H CLOSE "\r\n"), 0, 500);
    world_summary(&w, false, &summary);
    unit_equal("answer", buf_cstr(&summary), "200 worker ");
    close_hub(&w);
    buf_free(&summary);
}

/* Another client than the one before, who is left to wait. */
static int next_client(struct http_world *w)
{
    struct err e = {0};
    int pair[2], before = w->client.fd;

    loop_remove(w->loop, &w->client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    w->client.fd = pair[0];
    assert_int_equal(loop_add(w->loop, &w->client, LOOP_READ, &e), 0);
    assert_int_equal(http_server_adopt(w->server, pair[1], STR(""), WORLD_TAG, &e), 0);
    return before;
}

/* One that waits for its disk keeps nobody else from being served, and serves again afterwards. */
static void test_stuck_worker_is_replaced(void **state)
{
    struct str text = STR("GET /stuck" H "\r\n");
    struct http_world w = {0};
    struct buf summary = {0};

    (void)state;
    ping_ms = 1;
    stuck_ms = 10;
    open_hub(&w, 1, 60000);
    assert_int_equal(send(w.client.fd, text.p, text.len, 0), (int)text.len);
    run_until(&w, crew_stuck(crew) == 1);
    int before = next_client(&w);
    world_talk(&w, "meanwhile", STR("POST /worker" H CLOSE "Content-Length: 1\r\n\r\na"), 0, 500);
    world_summary(&w, false, &summary);
    unit_equal("meanwhile", buf_cstr(&summary), "200 worker a");
    assert_int_equal(crew_workers(crew), 2);
    assert_int_equal(closed, 0);
    kill(*stuck_pid, SIGCONT);
    run_until(&w, crew_stuck(crew) == 0);
    close(before);
    run_until(&w, closed > 0);
    close_hub(&w);
    buf_free(&summary);
}

/* Its clients then know, and its place is free. */
static void test_stuck_worker_is_killed(void **state)
{
    struct http_world w = {0};

    (void)state;
    ping_ms = 1;
    stuck_ms = kill_ms = 10;
    open_hub(&w, 1, 60000);
    world_talk(&w, "stuck", STR("GET /stuck" H "\r\n"), 0, 500);
    assert_int_equal(w.got.len, 0);
    run_until(&w, crew_workers(crew) == 0);
    assert_int_equal(closed, 1);
    close_hub(&w);
}

static void test_drain(void **state)
{
    struct http_world w = {0};
    struct buf summary = {0};
    struct str text = STR("POST /worker" H "Content-Length: 2\r\n\r\nhi");

    (void)state;
    open_hub(&w, 1, 60000);
    assert_int_equal(send(w.client.fd, text.p, text.len - 1, 0), (int)text.len - 1);
    run_until(&w, crew_connections(crew) == 1);
    crew_drain(crew);
    world_talk(&w, "the rest", str_slice(text, text.len - 1, text.len), 0, 1);
    world_summary(&w, false, &summary);
    unit_equal("answer", buf_cstr(&summary), "200 worker hi");
    hang_up(&w);
    run_until(&w, crew_workers(crew) == 0);
    close_hub(&w);
    buf_free(&summary);
}

int main(void)
{
    stuck_pid = mmap(NULL, sizeof *stuck_pid, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),
        cmocka_unit_test(test_idle_connection_comes_back),
        cmocka_unit_test(test_idle_worker_leaves),
        cmocka_unit_test(test_worker_dies),
        cmocka_unit_test(test_stuck_worker_is_replaced),
        cmocka_unit_test(test_stuck_worker_is_killed),
        cmocka_unit_test(test_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
