/* A loop with an http_server and one client at the other end of a socket pair, or of a stream in
 * memory with a clock that jumps: what the client sends, in which pieces, and all that it gets. */
#ifndef UNIT_HTTP_WORLD_H
#define UNIT_HTTP_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http_server.h"
#include "net/stream_memory.h"
#include "proto/addr.h"
#include "rounds.h"
#include "unit.h"

enum { WORLD_PATIENCE_MS = 20000, WORLD_SHORT_MS = 20, WORLD_TAG = 77 };
enum { WORLD_JUMPING_PATIENCE_MS = 36000000 /* of the clock that jumps */ };

/* A line in memory: how narrow each end is. */
struct world_line {
    const char *name;
    struct stream_memory_limits client, server;
};

struct http_world {
    struct loop *loop;
    struct http_server *server;
    struct http_server_options options;
    struct loop_fd client; /* reads until the end of file, or `stop_after` bytes */
    struct stream *line;   /* the client instead, in memory */
    struct loop_clock clock;
    bool is_deaf, is_reset; /* reads nothing now; the end was a reset */
    int64_t ended_ms, feed_every_ms;
    struct loop_timer patience, feeder, round;
    unsigned rounds;
    struct buf got;
    size_t stop_after;
    bool is_out_of_patience, is_ended;
    struct str to_send;
    size_t piece, first_piece; /* sent in one round; the first may differ */
    struct http_conn *waiting;
    int gone, streamed_ends, detached_fd;
    struct buf streamed, detached;
};

static inline void world_stop(struct http_world *w)
{
    loop_stop(w->loop);
}

static inline void world_on_patience(void *owner)
{
    struct http_world *w = owner;

    w->is_out_of_patience = true;
    world_stop(w);
}

static inline void world_on_client(void *owner)
{
    struct http_world *w = owner;
    char data[4096];
    ssize_t n = read(w->client.fd, data, sizeof data);

    if (n > 0)
        buf_append(&w->got, data, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        w->is_ended = true;
        loop_remove(w->loop, &w->client);
        world_stop(w);
    }
    if (w->stop_after > 0 && w->got.len >= w->stop_after)
        world_stop(w);
}

/* The same for a client in memory. */
static inline void world_on_line(void *owner)
{
    struct http_world *w = owner;
    struct err e = {0};
    char data[4096];
    enum io io = IO_DONE;
    size_t n;

    if (w->is_deaf || w->is_ended)
        return;
    while ((io = stream_read(w->line, data, sizeof data, &n, &e)) == IO_DONE)
        buf_append(&w->got, data, n);
    if (io == IO_EOF || io == IO_ERR) {
        w->is_ended = true;
        w->is_reset = io == IO_ERR;
        w->ended_ms = loop_now_ms(w->loop);
        world_stop(w);
    }
    if (w->stop_after > 0 && w->got.len >= w->stop_after)
        world_stop(w);
}

/* Bytes sent, 0 when there is no room now, -1 when there is no connection any more. */
static inline ssize_t world_send(struct http_world *w, struct str part)
{
    struct err e = {0};
    size_t sent = 0;

    if (w->line == NULL) {
        ssize_t n = send(w->client.fd, part.p, part.len, MSG_NOSIGNAL);
        return n < 0 && errno == EAGAIN ? 0 : n;
    }
    switch (stream_write(w->line, part, &sent, &e)) {
    case IO_DONE: return (ssize_t)sent;
    case IO_ERR: return -1;
    default: return 0;
    }
}

/* One piece a round, so that the server sees each alone. */
static inline void world_on_feed(void *owner)
{
    struct http_world *w = owner;
    size_t n = w->first_piece > 0 ? w->first_piece : w->piece;
    struct str part = str_slice(w->to_send, 0, n);

    w->first_piece = 0;
    if (part.len == 0)
        return;
    ssize_t sent = world_send(w, part); /* 0: the server reads nothing now */
    if (sent < 0)
        return;
    w->to_send = str_slice(w->to_send, (size_t)sent, w->to_send.len);
    loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop) + w->feed_every_ms);
}

static inline void world_open_server(struct http_world *w, struct loop_clock *clock)
{
    struct err e = {0};

    w->loop = loop_new(clock, &e);
    assert_non_null(w->loop);
    w->options.loop = w->loop;
    w->server = http_server_new(&w->options, &e);
    assert_non_null(w->server);
    w->patience = (struct loop_timer){.call = world_on_patience, .owner = w};
    w->feeder = (struct loop_timer){.call = world_on_feed, .owner = w};
    w->client = (struct loop_fd){.fd = -1, .call = world_on_client, .owner = w};
    w->detached_fd = -1;
}

/* Call with options.routes (and times) set. */
static inline void world_open(struct http_world *w)
{
    struct err e = {0};
    int pair[2];

    world_open_server(w, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    w->client.fd = pair[0];
    assert_int_equal(loop_add(w->loop, &w->client, LOOP_READ, &e), 0);
    assert_int_equal(http_server_adopt(w->server, pair[1], STR(""), WORLD_TAG, &e), 0);
}

/* The same over such a line. The time is 1000 then. */
static inline void world_open_line(struct http_world *w, const struct world_line *line)
{
    struct loop_wake wakes[2];
    struct stream *ends[2];
    struct err e = {0};

    w->clock = (struct loop_clock){.jumps = true, .now_ms = 1000};
    world_open_server(w, &w->clock);
    wakes[0] = wakes[1] = (struct loop_wake){w->loop, world_on_line, w}; /* the server sets its */
    assert_int_equal(stream_memory_pair(ends, wakes, &e), 0);
    w->line = ends[0];
    stream_memory_limit(ends[0], &line->client);
    stream_memory_limit(ends[1], &line->server);
    assert_int_equal(http_server_serve(w->server, ends[1], STR(""), WORLD_TAG, &e), 0);
    world_on_line(w);
}

static inline void world_run(struct http_world *w, const char *name)
{
    struct err e = {0};
    int64_t until_ms = w->line != NULL ? loop_now_ms(w->loop) + WORLD_JUMPING_PATIENCE_MS
                                       : clock_now_ms() + WORLD_PATIENCE_MS;

    w->is_out_of_patience = false;
    loop_set_timer(w->loop, &w->patience, until_ms);
    assert_int_equal(loop_run(w->loop, &e), 0);
    loop_clear_timer(w->loop, &w->patience);
    unit_true(name, !w->is_out_of_patience);
}

static inline void world_on_round(void *owner)
{
    struct http_world *w = owner;

    if (w->rounds-- > 0)
        loop_set_timer(w->loop, &w->round, loop_now_ms(w->loop));
    else
        world_stop(w);
}

/* So many rounds, a millisecond each on the clock that jumps. */
static inline void world_rounds(struct http_world *w, unsigned count)
{
    struct err e = {0};

    w->rounds = count;
    w->round = (struct loop_timer){.call = world_on_round, .owner = w};
    loop_set_timer(w->loop, &w->round, loop_now_ms(w->loop));
    while (loop_timer_at_ms(&w->round) != CLOCK_NEVER_MS) /* the end of the line stops it too */
        assert_int_equal(loop_run(w->loop, &e), 0);
}

/* Sends in pieces of `piece` bytes, the first of `first`, and runs until the server hangs up. */
static inline void world_talk(struct http_world *w, const char *name, struct str text, size_t first,
                              size_t piece)
{
    w->to_send = text;
    w->first_piece = first;
    w->piece = piece;
    loop_set_timer(w->loop, &w->feeder, loop_now_ms(w->loop));
    world_run(w, name);
}

static inline void world_close(struct http_world *w)
{
    if (w->client.is_added)
        loop_remove(w->loop, &w->client);
    http_server_free(w->server);
    stream_free(w->line);
    if (w->client.fd >= 0)
        close(w->client.fd);
    if (w->detached_fd >= 0)
        close(w->detached_fd);
    loop_free(w->loop);
    buf_free(&w->got);
    buf_free(&w->streamed);
    buf_free(&w->detached);
}

/* What of the answers a test looks at: "status body" of each, joined by " | "; {} for an interim
 * answer. HEAD answers must come last. */
static inline void world_summary(struct http_world *w, bool is_last_head, struct buf *out)
{
    struct str rest = buf_str(&w->got);
    struct http_head head;
    int status;

    while (rest.len > 0) {
        struct http_head_parser parser = {0};
        if (http_head_parse(&parser, HTTP_RESPONSE, rest, STR("GET"), &head, &status,
                            ERR_IGNORED) != IO_DONE) {
            buf_puts(out, " | rubbish");
            return;
        }
        buf_printf(out, "%s%d", out->len > 0 ? " | " : "", head.status);
        rest = str_slice(rest, head.size, rest.len);
        size_t length = head.content_length > 0 ? (size_t)head.content_length : 0;
        if (is_last_head && length > rest.len)
            length = 0;
        if (length > 0)
            buf_printf(out, " %.*s", (int)length, rest.p);
        rest = str_slice(rest, length, rest.len);
    }
}

#endif
