/* A scripted server on loopback, in a forked child: says what the script tells it to, and reports
 * all that it received. */
#ifndef UNIT_PEER_H
#define UNIT_PEER_H

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/socket.h"
#include "proc/frame.h"
#include "proc/process.h"
#include "proto/ws_frame.h"
#include "unit.h"

enum { PEER_WAIT_MS = 20000, PEER_LOG_BYTES = 60000 };

enum peer_kind {
    PEER_END,
    PEER_ACCEPT,  /* the next connection; the one before is closed */
    PEER_NEXT,    /* the next connection; the one before stays open and idle */
    PEER_HEAD,    /* read up to an empty line */
    PEER_READ,    /* read `count` bytes */
    PEER_SEND,    /* text */
    PEER_DRIP,    /* text, one byte in a packet */
    PEER_FILL,    /* send `count` bytes of '.' */
    PEER_DRAIN,   /* read until the other side ends */
    PEER_CLOSE,   /* in an orderly way */
    PEER_RESET,   /* RST */
    PEER_HALF_CLOSE,
    PEER_PAUSE,  /* do nothing for `count` milliseconds */
    PEER_HOLD,   /* do nothing until peer_free */
    PEER_NOTE,   /* tell the test that the script came so far (peer_wait_note) */
    PEER_UPGRADE /* read a WebSocket handshake and answer it */
};

struct peer_step {
    enum peer_kind kind;
    const char *text;
    size_t count;
};

/* The steps of a script. */
#define PEER_DO(kind) {PEER_##kind, NULL, 0}
#define PEER_SAY(words) {PEER_SEND, words, 0}
#define PEER_SAY_BYTES(literal) {PEER_SEND, literal, sizeof(literal) - 1}
#define PEER_TAKE(bytes) {PEER_READ, NULL, bytes}
#define PEER_GIVE(bytes) {PEER_FILL, NULL, bytes}

struct peer {
    const struct peer_step *script;
    int listener;
    uint16_t port;
    struct process process;
    int report_fd; /* in the child */
    struct buf log; /* what it received, after peer_finish */
    size_t received;
};

static inline size_t peer_receive(int fd, struct buf *log, size_t *total, size_t at_most)
{
    static char data[65536];
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, PEER_WAIT_MS) != 1)
        return 0;
    ssize_t n = recv(fd, data, at_most < sizeof data ? at_most : sizeof data, 0);
    if (n <= 0)
        return 0;
    *total += (size_t)n;
    if (log->len + (size_t)n <= PEER_LOG_BYTES)
        buf_append(log, data, (size_t)n);
    return (size_t)n;
}

static inline void peer_read_head(int fd, struct buf *log, size_t *total)
{
    static const char end[] = "\r\n\r\n";
    size_t matched = 0;

    while (matched < 4 && peer_receive(fd, log, total, 1) == 1)
        matched = log->data[log->len - 1] == end[matched]
                      ? matched + 1
                      : (size_t)(log->data[log->len - 1] == '\r');
}

static inline void peer_send(int fd, const char *data, size_t len, size_t at_once)
{
    while (len > 0) {
        size_t part = len < at_once ? len : at_once;
        ssize_t n = send(fd, data, part, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static inline void peer_fill(int fd, size_t count)
{
    static char data[65536];

    memset(data, '.', sizeof data);
    for (; count > 0; count -= count < sizeof data ? count : sizeof data)
        peer_send(fd, data, count < sizeof data ? count : sizeof data, sizeof data);
}

static inline void peer_upgrade(int fd, struct buf *log, size_t *total)
{
    struct http_head_parser parser = {0};
    struct http_head head;
    struct http_header mark = {STR("X-Mark"), STR("1")};
    struct buf answer = {0};
    int status;

    peer_read_head(fd, log, total);
    if (http_head_parse(&parser, HTTP_REQUEST, buf_str(log), STR(""), &head, &status,
                        ERR_IGNORED) == IO_DONE) {
        ws_frame_put_response(&answer, &head, &mark);
        peer_send(fd, answer.data, answer.len, answer.len);
    }
    buf_free(&answer);
}

static inline void peer_do(const struct peer *peer, const struct peer_step *step, int *fd,
                           struct buf *log, size_t *total)
{
    struct linger now = {1, 0};
    int on = 1;
    /* A text may have NULs in it if its length is told. */
    size_t len = step->text == NULL || step->count > 0 ? step->count : strlen(step->text);

    switch (step->kind) {
    case PEER_ACCEPT:
    case PEER_NEXT:
        if (*fd >= 0 && step->kind == PEER_ACCEPT)
            close(*fd);
        *fd = accept(peer->listener, NULL, NULL);
        setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        break;
    case PEER_HEAD: peer_read_head(*fd, log, total); break;
    case PEER_READ:
        for (size_t left = step->count, n = 1; left > 0 && n > 0; left -= n)
            n = peer_receive(*fd, log, total, left);
        break;
    case PEER_SEND: peer_send(*fd, step->text, len, len); break;
    case PEER_DRIP: peer_send(*fd, step->text, len, 1); break;
    case PEER_FILL: peer_fill(*fd, step->count); break;
    case PEER_DRAIN:
        while (peer_receive(*fd, log, total, SIZE_MAX) > 0)
            continue;
        break;
    case PEER_RESET: setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* fall through */
    case PEER_CLOSE:
        close(*fd);
        *fd = -1;
        break;
    case PEER_UPGRADE: peer_upgrade(*fd, log, total); break;
    case PEER_HALF_CLOSE: shutdown(*fd, SHUT_WR); break;
    case PEER_PAUSE: poll(NULL, 0, (int)step->count); break;
    case PEER_HOLD:
        for (;;)
            pause();
    case PEER_NOTE: frame_send(peer->report_fd, STR("note"), -1, ERR_IGNORED); break;
    case PEER_END: break;
    }
}

static inline int peer_run(int fd, void *ctx)
{
    struct peer *peer = ctx;
    struct buf log = {0}, report = {0};
    size_t total = 0;
    int connection = -1;

    peer->report_fd = fd;
    for (const struct peer_step *step = peer->script; step->kind != PEER_END; step++)
        peer_do(peer, step, &connection, &log, &total);
    buf_append(&report, &total, sizeof total);
    buf_put(&report, buf_str(&log));
    enum io io = frame_send(fd, buf_str(&report), -1, ERR_IGNORED);
    buf_free(&report);
    buf_free(&log);
    return io == IO_DONE ? 0 : 1;
}

static inline void peer_start(struct peer *peer, const struct peer_step *script)
{
    struct addr bound;
    struct process_options options = {.name = "peer", .run = peer_run, .ctx = peer};
    struct err e = {0};

    *peer = (struct peer){.script = script, .listener = -1};
    assert_int_equal(socket_listen(STR("127.0.0.1:0"), &peer->listener, &bound, &e), 0);
    assert_int_equal(fcntl(peer->listener, F_SETFL, 0), 0); /* the script may wait */
    peer->port = addr_port(&bound);
    options.keep_fds = &peer->listener;
    options.keep_count = 1;
    assert_int_equal(process_start(&peer->process, &options, &e), 0);
    close(peer->listener);
}

static inline void peer_wait_note(struct peer *peer)
{
    struct pollfd p = {.fd = peer->process.fd, .events = POLLIN};
    struct err e = {0};

    assert_int_equal(poll(&p, 1, PEER_WAIT_MS), 1);
    assert_int_equal(frame_receive(peer->process.fd, &peer->log, NULL, &e), IO_DONE);
    unit_equal_str("note", buf_str(&peer->log), STR("note"));
}

/* Waits for the end of the script and fetches what was received. */
static inline void peer_finish(struct peer *peer)
{
    struct pollfd p = {.fd = peer->process.fd, .events = POLLIN};
    struct err e = {0};
    pid_t pid = peer->process.pid;

    assert_int_equal(poll(&p, 1, PEER_WAIT_MS), 1);
    assert_int_equal(frame_receive(peer->process.fd, &peer->log, NULL, &e), IO_DONE);
    memcpy(&peer->received, peer->log.data, sizeof peer->received);
    buf_consume(&peer->log, sizeof peer->received);
    waitpid(pid, NULL, 0);
    process_close(&peer->process);
}

static inline void peer_free(struct peer *peer)
{
    pid_t pid = peer->process.pid;

    process_kill(&peer->process);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    buf_free(&peer->log);
}

#endif
