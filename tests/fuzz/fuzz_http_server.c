/* The HTTP server over a stream in memory, fed in pieces: it answers or hangs up and forgets no
 * handler. The first byte starts the row of piece sizes, and says how narrow the line is and how
 * the client leaves. */
#include "fuzz.h"
#include "http/http_server.h"
#include "net/stream_memory.h"
#include "proto/http_head.h"

enum { MAX_BODY = 64, WAIT_MS = 1000 };

struct world {
    struct loop *loop;
    struct http_server *server;
    struct loop_timer feeder;
    struct http_conn *waiting;
    struct str rest;
    uint32_t seed;
    struct stream *client;
    int streams;
    bool resets; /* instead of staying to the end */
    size_t quiet_rounds;
};

static void answer(struct http_conn *conn, struct str body)
{
    http_conn_answer(conn, &(struct http_answer){.status = 200, .body = body});
}

static void on_request(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)owner;
    require(request->body.len <= MAX_BODY);
    answer(conn, request->path);
}

static void on_gone(void *ctx)
{
    ((struct world *)ctx)->waiting = NULL;
}

static void on_wait(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct world *w = owner;

    (void)request;
    require(w->waiting == NULL);
    w->waiting = conn;
    http_conn_wait(conn, on_gone, w);
}

static void on_data(void *ctx, struct http_conn *conn, struct str data)
{
    struct world *w = ctx;

    require(data.len > 0 && w->streams == 1);
    if (data.p[0] == '!') {
        w->streams--;
        http_conn_answer_message(conn, 507, "full");
    }
}

static void on_end(void *ctx, struct http_conn *conn)
{
    ((struct world *)ctx)->streams--;
    answer(conn, STR(""));
}

static void on_stream_gone(void *ctx)
{
    ((struct world *)ctx)->streams--;
}

static void on_stream(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct world *w = owner;
    struct http_sink sink = {on_data, on_end, on_stream_gone, w};

    (void)request;
    require(w->streams == 0);
    w->streams++;
    http_conn_stream(conn, &sink);
}

static void on_detach(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf bytes = {0};

    (void)owner;
    size_t size = request->head->size;
    struct stream *stream = http_conn_detach(conn, &bytes);
    require(bytes.len >= size);
    stream_free(stream);
    buf_free(&bytes);
}

/* One piece a round; what waits is answered in between. Ends when nothing happens any more. */
static void on_feed(void *owner)
{
    struct world *w = owner;
    struct http_conn *conn = w->waiting;
    struct str part = str_slice(w->rest, 0, fuzz_piece(&w->seed));
    char answers[4096];
    struct err e;
    size_t n = 0, sent = 0;
    bool has_read = stream_read(w->client, answers, sizeof answers, &n, &e) == IO_DONE;

    w->waiting = NULL;
    if (conn != NULL)
        answer(conn, STR("late"));
    if (part.len > 0 && stream_write(w->client, part, &sent, &e) == IO_ERR)
        w->rest.len = 0;
    w->rest = str_slice(w->rest, sent, w->rest.len);
    if (w->rest.len == 0 && w->resets)
        stream_memory_reset(w->client);
    w->quiet_rounds = sent > 0 || has_read || conn != NULL ? 0 : w->quiet_rounds + 1;
    if (http_server_count(w->server) == 0 || w->quiet_rounds > 3)
        loop_stop(w->loop);
    else
        loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop));
}

static void wake_nobody(void *owner)
{
    (void)owner;
}

/* Both ends, narrow ones for every fourth seed. */
static void open_line(struct world *w)
{
    const struct loop_wake wakes[2] = {{w->loop, wake_nobody, NULL}, {w->loop, wake_nobody, NULL}};
    const struct stream_memory_limits narrow = {.read_bytes = 3, .write_bytes = 5, .capacity = 64};
    struct stream *ends[2];
    struct err e = {0};

    require(stream_memory_pair(ends, wakes, &e) == 0);
    w->client = ends[0];
    w->resets = (w->seed & 8) != 0;
    if ((w->seed & 3) == 3)
        stream_memory_limit(ends[1], &narrow);
    require(http_server_serve(w->server, ends[1], STR(""), 0, &e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.rest = {(const char *)data, size}};
    struct http_route routes[] = {
        {"GET", "/wait", 0, on_wait, NULL, false, false, &w},
        {"PUT", "/s", 0, NULL, on_stream, false, false, &w},
        {"GET", "/detach", 0, NULL, on_detach, true, false, &w},
        {"*", "/", MAX_BODY, on_request, NULL, false, false, &w},
    };
    struct http_server_options options = {.routes = routes,
                                          .route_count = sizeof routes / sizeof routes[0],
                                          .times = http_server_times(),
                                          .read_bytes = 256};
    struct loop_clock clock = {.jumps = true, .now_ms = 1000};
    struct err e = {0};

    w.seed = fuzz_take(&w.rest);
    w.loop = options.loop = loop_new(&clock, &e);
    w.server = http_server_new(&options, &e);
    w.feeder = (struct loop_timer){.call = on_feed, .owner = &w};
    open_line(&w);
    loop_set_timer(w.loop, &w.feeder, loop_now_ms(w.loop));
    require(loop_run(w.loop, &e) == 0);
    http_server_free(w.server);
    require(w.streams == 0);
    stream_free(w.client);
    loop_free(w.loop);
    return 0;
}
