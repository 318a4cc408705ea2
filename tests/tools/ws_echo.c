/*
 * Echoes WebSocket messages on the product's frame code, so that a conformance suite can be pointed
 * at it, as client or as server:
 *     ws_echo server [--max BYTES] HOST:PORT    prints "listening ws://HOST:PORT", serves for ever
 *     ws_echo client [--max BYTES] URL          sends back every message until the server closes
 * The client prints instead the messages of a URL whose path ends in /getCaseCount, and
 *     ws_echo suite [--max BYTES] URL AGENT
 * runs all cases of an Autobahn fuzzing server at URL and has it write its report.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "net/dial.h"
#include "net/socket.h"
#include "proto/http_head.h"
#include "proto/url.h"
#include "proto/ws_frame.h"

enum { MAX_BYTES = 16 << 20, READ_BYTES = 65536, CONNECT_MS = 10000, LINGER_MS = 2000 };

/* Past this much unsent output nothing is read. */
enum { MAX_UNSENT_BYTES = 4 << 20 };

/*
 * HEAD ──(101)──► OPEN ──(a close frame goes out)──► CLOSING ──(end of file)──► done
 */
enum state { STATE_HEAD, STATE_OPEN, STATE_CLOSING };

struct connection {
    int fd;
    enum ws_role role;
    enum state state;
    bool prints; /* instead of echoing */
    char key[WS_KEY_SIZE];
    struct http_head_parser parser;
    struct ws_reader reader;
    struct buf in, out;
    bool is_shut;     /* our direction: all was sent */
    int64_t until_ms; /* in CLOSING */
};

static const unsigned char *make_mask(const struct connection *c, unsigned char mask[4])
{
    if (c->role == WS_SERVER)
        return NULL;
    random_bytes(mask, 4);
    return mask;
}

static void put_close(struct connection *c, unsigned code, const char *reason)
{
    unsigned char mask[4];

    ws_frame_put_close(&c->out, code, str_of(reason), make_mask(c, mask));
    c->state = STATE_CLOSING;
    c->until_ms = clock_now_ms() + LINGER_MS;
}

static void handle_event(struct connection *c, const struct ws_event *event)
{
    unsigned char mask[4];

    switch (event->opcode) {
    case WS_TEXT:
    case WS_BINARY:
        if (c->prints)
            printf("%.*s\n", STR_ARG(event->payload));
        else
            ws_frame_put(&c->out, event->opcode, event->payload, make_mask(c, mask));
        break;
    case WS_PING: ws_frame_put(&c->out, WS_PONG, event->payload, make_mask(c, mask)); break;
    case WS_CLOSE: put_close(c, event->close_code, ""); break;
    case WS_PONG:
    case WS_CONTINUATION: break;
    }
}

static void handle_frames(struct connection *c)
{
    struct ws_event event;
    struct err e = {0};
    unsigned close_code;
    size_t used;
    enum io io = IO_DONE;

    while (io == IO_DONE && c->state == STATE_OPEN) {
        io = ws_frame_read(&c->reader, buf_str(&c->in), &used, &event, &close_code, &e);
        if (io == IO_DONE)
            handle_event(c, &event);
        if (io == IO_ERR)
            put_close(c, close_code, e.msg);
        buf_consume(&c->in, used);
    }
}

static void refuse_request(struct connection *c, int status)
{
    http_head_put_status(&c->out, status);
    if (status == 426) {
        http_head_put_header(&c->out, "Upgrade", STR("websocket"));
        http_head_put_header(&c->out, "Sec-WebSocket-Version", STR("13"));
    }
    http_head_put_header(&c->out, "Connection", STR("close"));
    http_head_put_length(&c->out, 0);
    http_head_put_end(&c->out);
    c->state = STATE_CLOSING;
    c->until_ms = clock_now_ms() + LINGER_MS;
}

/* The other side's head; -1 when this connection can go nowhere. */
static int handle_head(struct connection *c, struct err *e)
{
    struct http_head head;
    bool is_server = c->role == WS_SERVER;
    int status;

    enum io io = http_head_parse(&c->parser, is_server ? HTTP_REQUEST : HTTP_RESPONSE,
                                 buf_str(&c->in), STR("GET"), &head, &status, e);
    if (io == IO_WANT_READ)
        return 0;
    if (is_server && (io == IO_ERR || ws_frame_check_request(&head, &status, e) != 0)) {
        refuse_request(c, status);
        return 0;
    }
    if (io == IO_ERR || (!is_server && ws_frame_check_response(&head, c->key, e) != 0))
        return -1;
    if (is_server)
        ws_frame_put_response(&c->out, &head, NULL);
    buf_consume(&c->in, head.size);
    c->state = STATE_OPEN;
    return 0;
}

/* Writes what the socket takes. */
static int flush(struct connection *c, struct err *e)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0)
            return err_errno(e, ERR_NETWORK, errno, "send");
        buf_consume(&c->out, (size_t)n);
    }
    if (c->state == STATE_CLOSING && c->role == WS_SERVER && !c->is_shut) {
        shutdown(c->fd, SHUT_WR);
        c->is_shut = true;
    }
    return buf_check(&c->out, e);
}

/* Reads what is there. Returns 1 at the end of the stream. */
static int fill(struct connection *c, struct err *e)
{
    if (!buf_reserve(&c->in, READ_BYTES))
        return buf_check(&c->in, e);
    ssize_t n = recv(c->fd, c->in.data + c->in.len, READ_BYTES, MSG_DONTWAIT);
    if (n == 0)
        return 1;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : err_errno(e, ERR_NETWORK, errno, "receive");
    c->in.len += (size_t)n;
    if (c->state == STATE_HEAD && handle_head(c, e) != 0)
        return -1;
    if (c->state == STATE_OPEN)
        handle_frames(c);
    if (c->state == STATE_CLOSING)
        buf_clear(&c->in);
    return 0;
}

/* Runs a connection to its end. */
static int run(struct connection *c, struct err *e)
{
    int result = 0;

    while (result == 0) {
        int64_t left_ms = c->state == STATE_CLOSING ? c->until_ms - clock_now_ms() : -1;
        bool wants_read = c->out.len < MAX_UNSENT_BYTES;
        struct pollfd p = {.fd = c->fd, .events = (short)((wants_read ? POLLIN : 0) |
                                                          (c->out.len > 0 ? POLLOUT : 0))};
        if (c->state == STATE_CLOSING && left_ms <= 0)
            break;
        if (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR)
            return err_errno(e, ERR_FAILED, errno, "poll");
        if (wants_read && (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            result = fill(c, e);
        if (result == 0)
            result = flush(c, e);
    }
    if (result == 1 && c->state != STATE_CLOSING)
        return err_set(e, ERR_NETWORK, "the peer hung up without a close frame");
    return result < 0 && c->state != STATE_CLOSING ? -1 : 0;
}

static void deinit(struct connection *c)
{
    ws_reader_deinit(&c->reader);
    buf_free(&c->in);
    buf_free(&c->out);
    close(c->fd);
}

/* ---- server ---- */

static int serve_one(int fd, size_t max_bytes)
{
    struct connection c = {.fd = fd, .role = WS_SERVER};
    struct err e = {0};

    ws_reader_init(&c.reader, WS_SERVER, max_bytes);
    int result = run(&c, &e);
    if (result != 0)
        fprintf(stderr, "ws_echo: %s\n", e.msg);
    deinit(&c);
    return result == 0 ? 0 : 1;
}

static int serve(const char *listen_text, size_t max_bytes, struct err *e)
{
    struct addr bound;
    struct buf text = {0};
    int listener;

    if (socket_listen(str_of(listen_text), &listener, &bound, e) != 0)
        return -1;
    addr_put(&text, &bound);
    printf("listening ws://%s\n", buf_cstr(&text));
    fflush(stdout);
    buf_free(&text);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        poll(&p, 1, -1);
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        pid_t child = fork();
        if (child == 0) {
            close(listener);
            _exit(serve_one(fd, max_bytes));
        }
        close(fd);
    }
}

/* ---- client ---- */

struct dialling {
    struct dial dial;
    enum io io;
    int fd;
    struct err *e;
};

static void step_dial(void *owner)
{
    struct dialling *d = owner;

    if (d->io != IO_DONE && d->io != IO_ERR)
        d->io = dial_step(&d->dial, clock_now_ms(), &d->fd, d->e);
}

static bool is_dialled(void *owner)
{
    const struct dialling *d = owner;

    return d->io == IO_DONE || d->io == IO_ERR;
}

static int connect_to(const struct url *u, int *fd, struct err *e)
{
    struct loop *loop = loop_new(NULL, e);
    struct dialling d = {.io = IO_WANT_READ, .e = e};
    const struct loop_wake wake = {loop, step_dial, &d};
    int result = -1;

    if (loop != NULL &&
        dial_start(&d.dial, &wake, u->host, u->port, clock_now_ms() + CONNECT_MS, e) == 0)
        result = loop_run_until(loop, is_dialled, &d, e);
    dial_cancel(&d.dial);
    loop_free(loop);
    *fd = d.fd;
    return result == 0 && d.io == IO_DONE ? 0 : -1;
}

static void put_request(struct connection *c, const struct url *u)
{
    unsigned char random[16];
    struct buf host = {0}, target = {0};

    random_bytes(random, sizeof random);
    ws_frame_make_key(random, c->key);
    url_put_host(&host, u);
    url_put_target(&target, u);
    ws_frame_put_request(&c->out, buf_str(&host), buf_str(&target), c->key);
    buf_free(&host);
    buf_free(&target);
}

static int echo_url(const char *text, size_t max_bytes, struct err *e)
{
    struct connection c = {.role = WS_CLIENT};
    struct url u;

    if (url_parse(&u, str_of(text), e) != 0 || connect_to(&u, &c.fd, e) != 0)
        return -1;
    c.prints = str_ends_with(u.path, STR("/getCaseCount"));
    ws_reader_init(&c.reader, WS_CLIENT, max_bytes);
    put_request(&c, &u);
    int result = flush(&c, e) == 0 ? run(&c, e) : -1;
    deinit(&c);
    fflush(stdout);
    return result;
}

/* The count is what the child's client prints. */
static int count_cases(const char *base, size_t max_bytes, unsigned *count, struct err *e)
{
    char url[1024], line[32] = "";
    int ends[2];

    snprintf(url, sizeof url, "%s/getCaseCount", base);
    if (pipe(ends) != 0)
        return err_errno(e, ERR_FAILED, errno, "pipe");
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        _exit(echo_url(url, max_bytes, e) == 0 ? 0 : 1);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    if (n <= 0 || sscanf(line, "%u", count) != 1)
        return err_set(e, ERR_PROTOCOL, "%s: no case count", url);
    return 0;
}

static int run_suite(const char *base, const char *agent, size_t max_bytes, struct err *e)
{
    char url[1024];
    unsigned count;

    if (count_cases(base, max_bytes, &count, e) != 0)
        return -1;
    for (unsigned i = 1; i <= count; i++) {
        snprintf(url, sizeof url, "%s/runCase?case=%u&agent=%s", base, i, agent);
        /* How a case ends is the suite's to judge. */
        if (echo_url(url, max_bytes, e) != 0)
            fprintf(stderr, "ws_echo: case %u: %s\n", i, e->msg);
    }
    snprintf(url, sizeof url, "%s/updateReports?agent=%s", base, agent);
    return echo_url(url, max_bytes, e);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    uint64_t max_bytes = MAX_BYTES;
    const char *verb = argc > 1 ? argv[1] : "";
    int result = -1;

    if (argc > 3 && strcmp(argv[2], "--max") == 0 &&
        str_to_uint(str_of(argv[3]), SIZE_MAX / 2, &max_bytes)) {
        argc -= 2;
        argv += 2;
    }
    if (strcmp(verb, "server") == 0 && argc == 3) {
        result = serve(argv[2], (size_t)max_bytes, &e);
    } else if (strcmp(verb, "client") == 0 && argc == 3) {
        result = echo_url(argv[2], (size_t)max_bytes, &e);
    } else if (strcmp(verb, "suite") == 0 && argc == 4) {
        result = run_suite(argv[2], argv[3], (size_t)max_bytes, &e);
    } else {
        fprintf(stderr, "usage: ws_echo server [--max BYTES] HOST:PORT\n"
                        "       ws_echo client [--max BYTES] URL\n"
                        "       ws_echo suite [--max BYTES] URL AGENT\n");
        return 2;
    }
    if (result != 0)
        fprintf(stderr, "ws_echo: %s\n", e.msg);
    return result == 0 ? 0 : 1;
}
