/*
 * Echoes WebSocket messages on the product's own ws_conn, for a conformance suite to be pointed
 * at it, as client or as server:
 *     ws_echo server [--max BYTES] HOST:PORT    prints "listening ws://HOST:PORT", serves for ever
 *     ws_echo client [--max BYTES] URL          sends back every message until the server closes
 * The client prints instead the messages of a URL whose path ends in /getCaseCount, and
 *     ws_echo suite [--max BYTES] URL AGENT
 * runs all cases of an Autobahn fuzzing server at URL and has it write its report.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/ws_accept.h"
#include "http/ws_dial.h"
#include "net/socket.h"
#include "proto/url.h"

enum { MAX_BYTES = 16 << 20, CONNECT_MS = 10000 };

/* Past this much unsent output nothing is read, until half of it is gone. */
enum { MAX_UNSENT_BYTES = 4 << 20 };

struct echo {
    struct loop *loop;
    size_t max_bytes;
    struct ws_dial *dial; /* a client's */
    struct ws_conn *conn;
    bool prints, is_over; /* a client's: print instead of echoing */
    int result;
    struct err failure;
    struct buf printed;
};

static void on_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct echo *echo = owner;
    struct err e = {0};

    if (echo->prints) {
        buf_put(&echo->printed, message);
        buf_putc(&echo->printed, '\n');
    } else if (ws_conn_send(echo->conn, kind, message, &e) != 0) {
        fprintf(stderr, "ws_echo: %s\n", e.msg);
        abort();
    } else if (ws_conn_queued(echo->conn) > MAX_UNSENT_BYTES) {
        ws_conn_pause(echo->conn);
    }
}

static void on_drained(void *owner)
{
    struct echo *echo = owner;

    ws_conn_resume(echo->conn);
}

static struct ws_conn_options options_of(struct echo *echo)
{
    return (struct ws_conn_options){.role = WS_CLIENT,
                                    .loop = echo->loop,
                                    .max_message_bytes = echo->max_bytes,
                                    .max_queued_bytes = 2 * echo->max_bytes + MAX_BYTES,
                                    .drained_bytes = MAX_UNSENT_BYTES / 2,
                                    .on_message = on_message,
                                    .on_drained = on_drained,
                                    .owner = echo};
}

/* ---- server ---- */

static void on_served(void *owner, const struct ws_end *end)
{
    fprintf(stderr, "ws_echo: %s\n", end->why.msg);
    free(owner);
}

static void on_upgrade(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct echo *server = owner;
    struct echo *echo;
    struct err e = {0};

    if (!ws_accept_check(conn, request))
        return;
    echo = calloc(1, sizeof *echo);
    if (echo == NULL)
        abort();
    echo->loop = server->loop;
    echo->max_bytes = server->max_bytes;
    struct ws_conn_options options = options_of(echo);
    options.on_closed = on_served;
    echo->conn = ws_accept(conn, request, NULL, &options, &e);
    if (echo->conn == NULL)
        free(echo);
}

static int serve(const char *listen_text, struct echo *echo, struct err *e)
{
    const struct http_route routes[] = {
        {"UPGRADE", "*", 0, NULL, on_upgrade, true, false, echo},
        {"*", "*", 0, NULL, on_upgrade, false, false, NULL}, /* which refuses it */
    };
    const struct http_server_options options = {
        .loop = echo->loop, .routes = routes, .route_count = 2, .times = http_server_times()};
    struct http_server *server = http_server_new(&options, e);
    struct addr bound;
    struct buf text = {0};
    int listener;

    if (server == NULL || socket_listen(str_of(listen_text), &listener, &bound, e) != 0 ||
        http_server_listen(server, listener, e) != 0)
        return -1;
    addr_put(&text, &bound);
    printf("listening ws://%s\n", buf_cstr(&text));
    fflush(stdout);
    buf_free(&text);
    int result = loop_run(echo->loop, e);
    http_server_free(server);
    return result;
}

/* ---- client ---- */

static void on_closed(void *owner, const struct ws_end *end)
{
    struct echo *echo = owner;

    echo->conn = NULL;
    echo->is_over = true;
    /* Without a close frame of either side it is no proper end. */
    if (!end->is_failure && end->code == WS_CLOSE_ABNORMAL) {
        echo->result = -1;
        echo->failure = end->why;
    }
}

static void step_dial(void *owner)
{
    struct echo *echo = owner;
    struct ws_conn_options options = options_of(echo);
    struct stream *stream;
    struct buf early = {0};
    enum io io = ws_dial_step(echo->dial, clock_now_ms(), &stream, &early, &echo->failure);

    options.on_closed = on_closed;
    if (io == IO_DONE)
        echo->conn = ws_conn_new(&options, stream, STR(""), buf_str(&early), &echo->failure);
    if (io == IO_ERR || (io == IO_DONE && echo->conn == NULL)) {
        echo->is_over = true;
        echo->result = -1;
    }
    buf_free(&early);
}

static bool is_over(void *owner)
{
    return ((struct echo *)owner)->is_over;
}

/* Runs one connection to its end; what it is to print is in echo->printed. */
static int echo_url(const char *text, struct echo *echo, struct err *e)
{
    const struct ws_dial_options options = {
        .url = str_of(text), .patience_ms = CONNECT_MS, .wake = {echo->loop, step_dial, echo}};
    struct url u;

    if (url_parse(&u, options.url, e) != 0)
        return -1;
    echo->prints = str_ends_with(u.path, STR("/getCaseCount"));
    echo->is_over = false;
    echo->result = 0;
    buf_clear(&echo->printed);
    echo->dial = ws_dial_new(&options, clock_now_ms(), e);
    int result = echo->dial == NULL ? -1 : loop_run_until(echo->loop, is_over, echo, e);
    ws_dial_free(echo->dial);
    if (result == 0 && echo->result != 0)
        result = err_set(e, echo->failure.code, "%s", echo->failure.msg);
    return result;
}

static int run_suite(const char *base, const char *agent, struct echo *echo, struct err *e)
{
    char url[1024];
    unsigned count;

    snprintf(url, sizeof url, "%s/getCaseCount", base);
    if (echo_url(url, echo, e) != 0)
        return -1;
    if (sscanf(buf_cstr(&echo->printed), "%u", &count) != 1)
        return err_set(e, ERR_PROTOCOL, "%s: no case count", url);
    for (unsigned i = 1; i <= count; i++) {
        snprintf(url, sizeof url, "%s/runCase?case=%u&agent=%s", base, i, agent);
        /* How a case ends is the suite's to judge. */
        if (echo_url(url, echo, e) != 0)
            fprintf(stderr, "ws_echo: case %u: %s\n", i, e->msg);
    }
    snprintf(url, sizeof url, "%s/updateReports?agent=%s", base, agent);
    return echo_url(url, echo, e);
}

static int run_client(const char *url, struct echo *echo, struct err *e)
{
    int result = echo_url(url, echo, e);

    fputs(buf_cstr(&echo->printed), stdout);
    return result;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    uint64_t max_bytes = MAX_BYTES;
    const char *verb = argc > 1 ? argv[1] : "";
    struct echo echo = {.loop = loop_new(NULL, &e)};
    int result = -1;

    if (argc > 3 && strcmp(argv[2], "--max") == 0 &&
        str_to_uint(str_of(argv[3]), SIZE_MAX / 4, &max_bytes)) {
        argc -= 2;
        argv += 2;
    }
    echo.max_bytes = (size_t)max_bytes;
    if (echo.loop == NULL) {
        fprintf(stderr, "ws_echo: %s\n", e.msg);
        return 1;
    }
    if (strcmp(verb, "server") == 0 && argc == 3) {
        result = serve(argv[2], &echo, &e);
    } else if (strcmp(verb, "client") == 0 && argc == 3) {
        result = run_client(argv[2], &echo, &e);
    } else if (strcmp(verb, "suite") == 0 && argc == 4) {
        result = run_suite(argv[2], argv[3], &echo, &e);
    } else {
        fprintf(stderr, "usage: ws_echo server [--max BYTES] HOST:PORT\n"
                        "       ws_echo client [--max BYTES] URL\n"
                        "       ws_echo suite [--max BYTES] URL AGENT\n");
        return 2;
    }
    if (result != 0)
        fprintf(stderr, "ws_echo: %s\n", e.msg);
    buf_free(&echo.printed);
    loop_free(echo.loop);
    return result == 0 ? 0 : 1;
}
