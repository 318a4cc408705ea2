#include "http/ws_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/socket.h"

/*
 * OPEN ──(our close, or a violation*)─► CLOSING ──(their close, end, or 2 s)──► freed
 *   └───────(their close: answered)───► LAST_WORDS ──(written)──────────────► freed
 * * The end of our side is then sent at once (RFC 6455 §7.1.7); what comes until theirs is dropped,
 *   so that no reset overtakes the close frame.
 */
enum ws_peer_state { WS_PEER_OPEN, WS_PEER_CLOSING, WS_PEER_LAST_WORDS };

struct ws_peer {
    struct ws_peer_options options;
    struct loop_fd source;
    struct loop_timer timer;
    struct loop_call flush; /* at the end of the round */
    enum ws_peer_state state;
    bool is_busy, is_freed; /* in a callback; freed meanwhile */
    bool is_write_blocked;
    int64_t heard_ms, pinged_ms, close_at_ms;
    int64_t taken_ms; /* when the kernel last took something, or nothing waited */
    size_t counted;   /* in *all_queued */
    struct ws_reader reader;
    struct buf early; /* read with the request, not yet looked at */
    struct buf out;
    size_t out_sent;
    bool is_deaf;        /* what still comes cannot be read as frames: our side ends at once */
    bool is_ended;       /* our side */
    unsigned close_code; /* the other side's */
    struct err reason;   /* why it ends, once that is known */
};

static void count_queued(struct ws_peer *peer)
{
    if (peer->options.all_queued == NULL)
        return;
    *peer->options.all_queued += peer->out.cap - peer->counted;
    peer->counted = peer->out.cap;
}

static void release(struct ws_peer *peer)
{
    ws_reader_deinit(&peer->reader);
    buf_free(&peer->early);
    buf_free(&peer->out);
    count_queued(peer);
    free(peer);
}

void ws_peer_free(struct ws_peer *peer)
{
    if (peer == NULL || peer->is_freed)
        return;
    loop_undefer(peer->options.loop, &peer->flush);
    loop_clear_timer(peer->options.loop, &peer->timer);
    if (peer->source.is_added)
        loop_remove(peer->options.loop, &peer->source);
    close(peer->source.fd);
    peer->is_freed = true;
    if (!peer->is_busy)
        release(peer);
}

static void end(struct ws_peer *peer, const char *reason)
{
    void (*on_closed)(void *ctx, unsigned code, const char *reason) = peer->options.on_closed;
    void *ctx = peer->options.ctx;
    unsigned code = peer->close_code;
    struct err why = peer->reason;

    if (why.msg[0] == '\0')
        err_set(&why, ERR_NETWORK, "%s", reason);
    ws_peer_free(peer);
    on_closed(ctx, code, why.msg);
}

static void update(struct ws_peer *peer)
{
    unsigned events = LOOP_READ | (peer->is_write_blocked ? LOOP_WRITE : 0u);

    if (events != peer->source.wanted)
        loop_change(peer->options.loop, &peer->source, events);
}

/* ---- out ---- */

/* False when the connection is lost. */
static bool flush(struct ws_peer *peer)
{
    peer->is_write_blocked = false;
    while (peer->out_sent < peer->out.len) {
        ssize_t n = send(peer->source.fd, peer->out.data + peer->out_sent,
                         peer->out.len - peer->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            peer->is_write_blocked = true;
            update(peer);
            return true;
        }
        peer->out_sent += (size_t)n;
        peer->taken_ms = loop_now_ms(peer->options.loop);
    }
    peer->out_sent = 0;
    if (peer->out.cap > WS_PEER_KEEP_BYTES)
        buf_free(&peer->out);
    else
        buf_clear(&peer->out);
    count_queued(peer);
    update(peer);
    return true;
}

static void flush_or_end(struct ws_peer *peer)
{
    if (peer->out.failed || !flush(peer))
        end(peer, "connection lost");
    else if (peer->state == WS_PEER_LAST_WORDS && peer->out.len == 0)
        end(peer, "closed");
    else if (peer->is_deaf && !peer->is_ended && peer->out.len == 0)
        peer->is_ended = shutdown(peer->source.fd, SHUT_WR) == 0;
}

static void on_round_end(void *owner)
{
    struct ws_peer *peer = owner;

    if (!peer->is_write_blocked)
        flush_or_end(peer);
}

/* Drops what was sent from the front, so that a slow reader's queue does not grow for ever. */
static void make_room(struct ws_peer *peer)
{
    if (peer->out_sent > WS_PEER_READ_BYTES && peer->out_sent > peer->out.len / 2) {
        buf_consume(&peer->out, peer->out_sent);
        peer->out_sent = 0;
    }
    if (peer->out.len == peer->out_sent)
        peer->taken_ms = loop_now_ms(peer->options.loop);
    loop_defer(peer->options.loop, &peer->flush);
}

/* It has queued too much; or all have, and it more than a little. */
static bool is_too_much(const struct ws_peer *peer, size_t more)
{
    size_t queued = peer->out.len - peer->out_sent + more;

    return queued > WS_PEER_MAX_QUEUED_BYTES ||
           (queued > WS_PEER_SMALL_BYTES && peer->options.all_queued != NULL &&
            *peer->options.all_queued > WS_PEER_MAX_ALL_BYTES);
}

int ws_peer_send(struct ws_peer *peer, struct str text, struct err *e)
{
    if (peer->state != WS_PEER_OPEN)
        return err_set(e, ERR_FAILED, "the connection is closing");
    make_room(peer);
    if (is_too_much(peer, text.len))
        return err_set(e, ERR_TOO_LARGE, "the other side does not read");
    ws_frame_put(&peer->out, WS_TEXT, text, NULL);
    count_queued(peer);
    return buf_check(&peer->out, e);
}

void ws_peer_set_max_message(struct ws_peer *peer, size_t max_message_bytes)
{
    peer->reader.max_message_bytes = max_message_bytes;
}

void ws_peer_ping(struct ws_peer *peer, struct str payload)
{
    if (peer->state != WS_PEER_OPEN)
        return;
    make_room(peer);
    ws_frame_put(&peer->out, WS_PING, payload, NULL);
}

void ws_peer_close(struct ws_peer *peer, unsigned code, struct str reason)
{
    if (peer->state != WS_PEER_OPEN)
        return;
    make_room(peer);
    ws_frame_put_close(&peer->out, code, reason, NULL);
    peer->state = WS_PEER_CLOSING;
    peer->close_at_ms = loop_now_ms(peer->options.loop) + WS_PEER_CLOSE_MS;
    loop_set_timer(peer->options.loop, &peer->timer, peer->close_at_ms);
}

/* ---- in ---- */

static void handle_close(struct ws_peer *peer, const struct ws_event *event)
{
    peer->close_code = event->close_code;
    if (peer->state == WS_PEER_OPEN) {
        if (event->close_code == WS_CLOSE_NO_CODE)
            err_set(&peer->reason, ERR_NETWORK, "closed by the other side");
        else
            err_set(&peer->reason, ERR_NETWORK, "closed by the other side: %u \"%.*s\"",
                    event->close_code, STR_ARG(event->payload));
        ws_frame_put_close(&peer->out, event->close_code, STR(""), NULL);
    }
    peer->state = WS_PEER_LAST_WORDS;
    peer->close_at_ms = loop_now_ms(peer->options.loop) + WS_PEER_CLOSE_MS;
    loop_set_timer(peer->options.loop, &peer->timer, peer->close_at_ms);
    loop_defer(peer->options.loop, &peer->flush);
}

/* Who pings and does not read what waits gets no more of it: not every ping needs a pong of its own
 * (RFC 6455 §5.5.3). */
static void put_pong(struct ws_peer *peer, struct str payload)
{
    make_room(peer);
    if (peer->out.len - peer->out_sent <= WS_PEER_MAX_PONG_BYTES)
        ws_frame_put(&peer->out, WS_PONG, payload, NULL);
}

static void handle_event(struct ws_peer *peer, const struct ws_event *event)
{
    if (event->opcode == WS_CLOSE) {
        handle_close(peer, event);
        return;
    }
    if (peer->state != WS_PEER_OPEN)
        return;
    if (event->opcode == WS_PING) {
        put_pong(peer, event->payload);
    } else if (event->opcode == WS_PONG) {
        if (peer->options.on_pong != NULL)
            peer->options.on_pong(peer->options.ctx, event->payload);
    } else {
        peer->options.on_message(peer->options.ctx, event->payload);
    }
}

static void handle_violation(struct ws_peer *peer, unsigned code, const struct err *e)
{
    peer->is_deaf = true;
    if (peer->state != WS_PEER_OPEN)
        return;
    peer->reason = *e;
    ws_peer_close(peer, code, str_of(e->msg));
}

/* Looks at all of `input`; the peer may be freed when it returns. */
static void feed(struct ws_peer *peer, struct str input)
{
    struct ws_event event;
    unsigned code = WS_CLOSE_PROTOCOL;
    struct err e = {0};
    size_t used;
    enum io io = IO_DONE;

    peer->is_busy = true;
    while (io == IO_DONE && !peer->is_freed && !peer->is_deaf &&
           peer->state != WS_PEER_LAST_WORDS) {
        used = 0;
        io = ws_frame_read(&peer->reader, input, &used, &event, &code, &e);
        input = str_slice(input, used, input.len);
        if (io == IO_DONE)
            handle_event(peer, &event);
        else if (io == IO_ERR)
            handle_violation(peer, code, &e);
    }
    peer->is_busy = false;
    if (peer->is_freed)
        release(peer);
}

static void on_read(struct ws_peer *peer)
{
    char data[WS_PEER_READ_BYTES];
    ssize_t n = read(peer->source.fd, data, sizeof data);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end(peer, n == 0 ? "hung up" : "connection lost");
        return;
    }
    peer->heard_ms = loop_now_ms(peer->options.loop);
    feed(peer, (struct str){data, (size_t)n});
}

static void on_ready(void *owner)
{
    struct ws_peer *peer = owner;
    unsigned events = peer->source.ready;

    if ((events & LOOP_WRITE) != 0) {
        peer->is_write_blocked = false;
        loop_defer(peer->options.loop, &peer->flush);
    }
    if ((events & (LOOP_READ | LOOP_HANGUP)) != 0)
        on_read(peer);
}

/* ---- time ---- */

static void set_timer(struct ws_peer *peer)
{
    loop_set_timer(peer->options.loop, &peer->timer,
                   clock_earlier(peer->pinged_ms + peer->options.ping_interval_ms,
                                 peer->heard_ms + peer->options.dead_after_ms));
}

static void on_time(void *owner)
{
    struct ws_peer *peer = owner;
    int64_t now = loop_now_ms(peer->options.loop);

    if (peer->state != WS_PEER_OPEN) {
        end(peer, "closed");
    } else if (now - peer->heard_ms >= peer->options.dead_after_ms) {
        socket_drop_unsent(peer->source.fd);
        end(peer, "no answer to pings");
    } else if (peer->is_write_blocked && now - peer->taken_ms >= peer->options.dead_after_ms) {
        socket_drop_unsent(peer->source.fd);
        end(peer, "it does not read");
    } else {
        if (now - peer->pinged_ms >= peer->options.ping_interval_ms) {
            peer->pinged_ms = now;
            ws_peer_ping(peer, STR(""));
        }
        set_timer(peer);
    }
}

/* What came with the handshake is looked at in the loop, when the owner knows the peer. */
static void on_first_round(void *owner)
{
    struct ws_peer *peer = owner;
    struct buf early = peer->early;

    peer->early = (struct buf){0};
    peer->flush.call = on_round_end;
    loop_defer(peer->options.loop, &peer->flush);
    if (early.len > 0)
        feed(peer, buf_str(&early));
    buf_free(&early);
}

struct ws_peer *ws_peer_new(const struct ws_peer_options *options, int fd, struct str handshake,
                            struct str early, struct err *e)
{
    struct ws_peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL) {
        close(fd);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    peer->options = *options;
    peer->source = (struct loop_fd){.fd = fd, .call = on_ready, .owner = peer};
    peer->timer = (struct loop_timer){.call = on_time, .owner = peer};
    peer->flush = (struct loop_call){.call = on_first_round, .owner = peer};
    peer->heard_ms = peer->pinged_ms = peer->taken_ms = loop_now_ms(options->loop);
    peer->close_code = WS_CLOSE_ABNORMAL;
    ws_reader_init(&peer->reader, WS_SERVER, options->max_message_bytes);
    buf_put(&peer->out, handshake);
    buf_put(&peer->early, early);
    if (buf_check(&peer->out, e) != 0 || buf_check(&peer->early, e) != 0 ||
        loop_add(options->loop, &peer->source, LOOP_READ, e) != 0) {
        ws_peer_free(peer);
        return NULL;
    }
    set_timer(peer);
    loop_defer(options->loop, &peer->flush);
    return peer;
}
