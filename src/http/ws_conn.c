#include "http/ws_conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"

/*
 * OPEN ──(our close, or a violation*)─► CLOSING ──(their close, end, or 2 s)──► freed
 *   └───────(their close: answered)───► LAST_WORDS ──(written, or 2 s)────────► freed
 * * The end of our side is then sent at once (RFC 6455 §7.1.7); what comes until theirs is dropped,
 *   so that no reset overtakes the close frame.
 */
enum ws_conn_state { WS_CONN_OPEN, WS_CONN_CLOSING, WS_CONN_LAST_WORDS };

enum { MASK_STOCK = 64 };

/* Masks are drawn in stock: a system call for each would cost more than the frame. */
struct masks {
    unsigned char stock[MASK_STOCK][4];
    size_t left;
};

struct ws_conn {
    struct ws_conn_options options;
    struct stream *stream;
    struct loop_timer timer;
    struct loop_call turn; /* looks at kept bytes, writes queued ones */
    enum ws_conn_state state;
    bool is_busy, is_freed;          /* in a callback of the loop; freed meanwhile */
    bool is_write_blocked, is_woken; /* the stream took no more; it may take some again */
    bool is_lost;        /* writing failed: input that came before is still read */
    bool is_paused;      /* by the owner */
    bool is_deaf;        /* later bytes cannot be read as frames: our side ends at once */
    bool is_ended;       /* our side */
    bool is_long;        /* the queue was longer than drained_bytes since on_drained came */
    bool owes_pong;      /* for the ping with the payload in `pong` */
    bool is_left;        /* the other side has closed first */
    unsigned close_code; /* the other side's */
    int64_t alive_ms;    /* when the other side last sent or took something */
    int64_t taken_ms;    /* when the stream last took something, or nothing waited */
    int64_t pinged_ms, close_at_ms;
    size_t counted; /* in *all_queued */
    struct ws_reader reader;
    struct buf in; /* read and not yet looked at */
    struct buf out;
    size_t out_sent;
    struct buf pong;
    struct masks *masks; /* a client's */
    struct err *failure; /* why it broke, once that is known */
};

static void on_ws_wake(void *owner);
static void on_ws_turn(void *owner);
static void on_ws_time(void *owner);

static int64_t loop_time_ms(const struct ws_conn *c)
{
    return loop_now_ms(c->options.loop);
}

/* ---- coming and going ---- */

static void count_queued(struct ws_conn *c)
{
    if (c->options.all_queued == NULL)
        return;
    *c->options.all_queued += c->out.cap - c->counted;
    c->counted = c->out.cap;
}

static void release_ws_conn(struct ws_conn *c)
{
    ws_reader_deinit(&c->reader);
    buf_free(&c->in);
    buf_wipe(&c->out);
    buf_free(&c->pong);
    count_queued(c);
    free(c->masks);
    free(c->failure);
    free(c);
}

void ws_conn_free(struct ws_conn *c)
{
    if (c == NULL || c->is_freed)
        return;
    loop_undefer(c->options.loop, &c->turn);
    loop_clear_timer(c->options.loop, &c->timer);
    stream_free(c->stream);
    c->stream = NULL;
    c->is_freed = true;
    if (!c->is_busy)
        release_ws_conn(c);
}

/* Callbacks of the loop run between these two, so that an owner may free the connection in them. */
static void enter_ws_conn(struct ws_conn *c)
{
    c->is_busy = true;
}

static void leave_ws_conn(struct ws_conn *c)
{
    c->is_busy = false;
    if (c->is_freed)
        release_ws_conn(c);
}

/* Describes the cause of an orderly end in words. */
static void describe_end(const struct ws_conn *c, struct ws_end *end)
{
    if (c->state == WS_CONN_OPEN)
        err_set(&end->why, ERR_NETWORK, "hung up");
    else if (!c->is_left)
        err_set(&end->why, ERR_NETWORK, "closed");
    else if (c->close_code == WS_CLOSE_NO_CODE)
        err_set(&end->why, ERR_NETWORK, "closed by the other side");
    else
        err_set(&end->why, ERR_NETWORK, "closed by the other side: %u \"%.*s\"", c->close_code,
                STR_ARG(end->reason));
}

/* The reader keeps the payload of the close frame, which is the last thing that it reads. */
static struct str close_reason(const struct ws_conn *c)
{
    struct str reason = {(const char *)c->reader.control + 2, 0};

    if (c->close_code != WS_CLOSE_ABNORMAL && c->close_code != WS_CLOSE_NO_CODE)
        reason.len = (size_t)c->reader.length - 2;
    return reason;
}

/* `failure`: how it broke; its code is ERR_NONE at an orderly end. */
static void end_ws_conn_with(struct ws_conn *c, const struct err *failure)
{
    void (*on_closed)(void *owner, const struct ws_end *end) = c->options.on_closed;
    void *owner = c->options.owner;
    struct str reason = close_reason(c);
    char words[WS_MAX_CONTROL_BYTES];
    struct ws_end how = {.code = c->close_code, .reason = {words, reason.len}};

    memcpy(words, reason.p, reason.len);
    how.is_failure = failure->code != ERR_NONE;
    if (how.is_failure)
        err_copy(&how.why, failure);
    else
        describe_end(c, &how);
    ws_conn_free(c);
    on_closed(owner, &how);
}

/* Ends in an orderly way, or with the failure that was noted before. */
static void end_ws_conn(struct ws_conn *c)
{
    static const struct err none = {ERR_NONE, ""};

    end_ws_conn_with(c, c->failure == NULL ? &none : c->failure);
}

/* Ends a broken connection. After our close frame any end is the one that was wanted. */
static void end_broken(struct ws_conn *c, const struct err *failure)
{
    if (c->state == WS_CONN_OPEN)
        end_ws_conn_with(c, failure);
    else
        end_ws_conn(c);
}

/* A dead line: what waits in the kernel is not kept for it. */
static void end_dead(struct ws_conn *c, const struct err *failure)
{
    stream_drop_unsent(c->stream);
    end_ws_conn_with(c, failure);
}

/* Keeps the cause for the end. */
static void note_ws_failure(struct ws_conn *c, const struct err *e)
{
    static const struct err unknown = {ERR_FAILED, "out of memory"};

    if (c->failure == NULL)
        c->failure = malloc(sizeof *c->failure);
    if (c->failure != NULL)
        err_copy(c->failure, e->code == ERR_NONE ? &unknown : e);
}

/* The last words of the other side are a better cause than that writing failed. */
static void forget_loss(struct ws_conn *c)
{
    if (c->is_deaf)
        return;
    free(c->failure);
    c->failure = NULL;
}

/* ---- out ---- */

size_t ws_conn_queued(const struct ws_conn *c)
{
    return c->out.len - c->out_sent;
}

bool ws_conn_is_open(const struct ws_conn *c)
{
    return c->state == WS_CONN_OPEN && !c->is_freed;
}

static const unsigned char *next_mask(struct ws_conn *c)
{
    struct masks *m = c->masks;

    if (m == NULL)
        return NULL;
    if (m->left == 0) {
        random_bytes(m->stock, sizeof m->stock);
        m->left = MASK_STOCK;
    }
    return m->stock[--m->left];
}

/* Drops what was sent from the front when it is most of it, so that moving costs little. */
static void drop_sent(struct ws_conn *c)
{
    if (c->out_sent > WS_CONN_READ_BYTES && c->out_sent > c->out.len / 2) {
        buf_consume(&c->out, c->out_sent);
        c->out_sent = 0;
    }
}

/* Room for a frame. False: there is no memory, and what is queued is whole. */
static bool make_frame_room(struct ws_conn *c, size_t payload_bytes)
{
    drop_sent(c);
    if (ws_conn_queued(c) == 0)
        c->taken_ms = loop_time_ms(c);
    if (!buf_reserve(&c->out, payload_bytes + WS_MAX_HEAD_BYTES)) {
        c->out.failed = false;
        return false;
    }
    count_queued(c);
    loop_defer(c->options.loop, &c->turn);
    return true;
}

static bool put_frame2(struct ws_conn *c, enum ws_opcode opcode, struct str first,
                       struct str second)
{
    if (!make_frame_room(c, first.len + second.len))
        return false;
    ws_frame_put2(&c->out, opcode, first, second, next_mask(c));
    return true;
}

static bool put_frame(struct ws_conn *c, enum ws_opcode opcode, struct str payload)
{
    return put_frame2(c, opcode, payload, STR(""));
}

/* True when the connection has queued too much, or all have, and it more than a little. */
static bool is_queue_too_long(const struct ws_conn *c, size_t more)
{
    const struct ws_conn_options *o = &c->options;
    size_t queued = ws_conn_queued(c) + WS_MAX_HEAD_BYTES;

    return more > o->max_queued_bytes || queued + more > o->max_queued_bytes ||
           (queued + more > WS_CONN_SMALL_BYTES && o->all_queued != NULL &&
            *o->all_queued > WS_CONN_MAX_ALL_BYTES);
}

int ws_conn_send2(struct ws_conn *c, enum ws_opcode kind, struct str first, struct str second,
                  struct err *e)
{
    if (!ws_conn_is_open(c))
        return err_set(e, ERR_FAILED, "the connection is closing");
    drop_sent(c);
    if (is_queue_too_long(c, first.len + second.len))
        return err_set(e, ERR_TOO_LARGE, "the other side reads too slowly: %zu bytes wait",
                       ws_conn_queued(c));
    if (!put_frame2(c, kind, first, second))
        return err_set(e, ERR_FAILED, "out of memory");
    c->is_long = c->is_long || ws_conn_queued(c) > c->options.drained_bytes;
    return 0;
}

int ws_conn_send(struct ws_conn *c, enum ws_opcode kind, struct str message, struct err *e)
{
    return ws_conn_send2(c, kind, message, STR(""), e);
}

size_t ws_conn_coming(const struct ws_conn *c)
{
    return c->reader.in_message ? c->reader.message.len : 0;
}

void ws_conn_set_keep(struct ws_conn *c, size_t keep_bytes)
{
    c->reader.keep_bytes =
        keep_bytes < WS_READER_KEEP_BYTES ? WS_READER_KEEP_BYTES : keep_bytes;
}

void ws_conn_set_max_message(struct ws_conn *c, size_t max_message_bytes)
{
    c->reader.max_message_bytes = max_message_bytes;
}

void ws_conn_ping(struct ws_conn *c, struct str payload)
{
    if (ws_conn_is_open(c) && payload.len <= WS_MAX_CONTROL_BYTES)
        put_frame(c, WS_PING, payload);
}

/* Not every ping needs a pong of its own (RFC 6455 §5.5.3): what pings and does not read what waits
 * gets the last one's, when there is room. */
static void answer_ping(struct ws_conn *c, struct str payload)
{
    buf_clear(&c->pong);
    if (ws_conn_queued(c) <= WS_CONN_MAX_PONG_BYTES) {
        put_frame(c, WS_PONG, payload);
        c->owes_pong = false;
    } else {
        buf_put(&c->pong, payload);
        c->owes_pong = !c->pong.failed;
    }
}

static void pay_pong(struct ws_conn *c)
{
    c->owes_pong = false;
    put_frame(c, WS_PONG, buf_str(&c->pong));
    buf_free(&c->pong);
}

static void begin_end(struct ws_conn *c, enum ws_conn_state state, unsigned code, struct str reason)
{
    if (make_frame_room(c, WS_MAX_CONTROL_BYTES))
        ws_frame_put_close(&c->out, code, reason, next_mask(c));
    c->state = state;
    c->close_at_ms = loop_time_ms(c) + WS_CONN_CLOSE_MS;
    loop_set_timer(c->options.loop, &c->timer, c->close_at_ms);
    loop_defer(c->options.loop, &c->turn);
}

void ws_conn_close(struct ws_conn *c, unsigned code, struct str reason)
{
    if (ws_conn_is_open(c))
        begin_end(c, WS_CONN_CLOSING, code, reason);
}

static void clear_sent(struct ws_conn *c)
{
    c->out_sent = 0;
    if (c->out.cap > c->reader.keep_bytes)
        buf_free(&c->out);
    else
        buf_clear(&c->out);
    count_queued(c);
}

/* Writes what the stream takes. */
static void write_queued(struct ws_conn *c)
{
    bool was_blocked = c->is_write_blocked;
    struct err e = {0};
    size_t n;

    c->is_write_blocked = false;
    while (ws_conn_queued(c) > 0) {
        struct str rest = str_slice(buf_str(&c->out), c->out_sent, SIZE_MAX);
        enum io io = stream_write(c->stream, rest, &n, &e);
        if (io == IO_ERR || io == IO_EOF) {
            c->is_lost = true;
            if (c->state == WS_CONN_OPEN)
                note_ws_failure(c, &e);
            clear_sent(c);
            return;
        }
        c->is_write_blocked = io != IO_DONE;
        if (io != IO_DONE)
            return;
        c->out_sent += n;
        c->taken_ms = loop_time_ms(c);
        if (was_blocked)
            c->alive_ms = c->taken_ms;
    }
    clear_sent(c);
}

/* A failure is noted, and ends the connection in its turn. */
void ws_conn_write_above(struct ws_conn *c, size_t bytes)
{
    if (!c->is_freed && !c->is_lost && !c->is_write_blocked && ws_conn_queued(c) >= bytes)
        write_queued(c);
}

static bool has_staged(const struct ws_conn *c)
{
    const struct tls *tls = stream_tls(c->stream);

    return tls != NULL && tls_has_output(tls);
}

/* Writes what is due. */
static void write_due(struct ws_conn *c)
{
    struct err ignored;
    size_t n;

    if (c->is_write_blocked && !c->is_woken)
        return;
    c->is_woken = false;
    if (ws_conn_queued(c) > 0)
        write_queued(c);
    else if (has_staged(c))
        stream_write(c->stream, STR(""), &n, &ignored);
}

static void report_drained(struct ws_conn *c)
{
    c->is_long = false;
    if (c->options.on_drained != NULL && c->state == WS_CONN_OPEN)
        c->options.on_drained(c->options.owner);
}

/* Does the things that wait for a write. The connection may be freed when this returns. */
static void after_write(struct ws_conn *c)
{
    bool is_flushed = ws_conn_queued(c) == 0 && (c->is_lost || !has_staged(c));

    if (c->owes_pong && c->state == WS_CONN_OPEN && ws_conn_queued(c) <= WS_CONN_MAX_PONG_BYTES)
        pay_pong(c);
    if (c->state == WS_CONN_LAST_WORDS && is_flushed) {
        stream_end(c->stream);
        end_ws_conn(c);
    } else if (c->is_deaf && !c->is_ended && is_flushed) {
        c->is_ended = true;
        stream_end(c->stream);
    } else if (c->is_long && ws_conn_queued(c) <= c->options.drained_bytes) {
        report_drained(c);
    }
}

/* ---- in ---- */

static bool may_read_input(const struct ws_conn *c)
{
    return !c->is_freed && c->state != WS_CONN_LAST_WORDS &&
           !(c->is_paused && c->state == WS_CONN_OPEN);
}

static void take_close(struct ws_conn *c, const struct ws_event *event)
{
    bool is_first = c->state == WS_CONN_OPEN;

    forget_loss(c);
    c->close_code = event->close_code;
    c->is_left = is_first;
    if (is_first)
        begin_end(c, WS_CONN_LAST_WORDS, event->close_code, STR(""));
    c->state = WS_CONN_LAST_WORDS;
    loop_defer(c->options.loop, &c->turn);
}

static void take_event(struct ws_conn *c, const struct ws_event *event)
{
    const struct ws_conn_options *o = &c->options;

    if (event->opcode == WS_CLOSE) {
        take_close(c, event);
    } else if (c->state != WS_CONN_OPEN) {
        return;
    } else if (event->opcode == WS_PING) {
        answer_ping(c, event->payload);
    } else if (event->opcode == WS_PONG) {
        if (o->on_pong != NULL)
            o->on_pong(o->owner, event->payload);
    } else {
        o->on_message(o->owner, event->opcode, event->payload);
    }
}

static void take_violation(struct ws_conn *c, unsigned code, const struct err *e)
{
    c->is_deaf = true;
    if (c->state != WS_CONN_OPEN)
        return;
    note_ws_failure(c, e);
    begin_end(c, WS_CONN_CLOSING, code, str_of(e->msg));
}

/* Looks at `input`; keeps what is left when reading is paused or others are to have their turn. */
static void feed_input(struct ws_conn *c, struct str input)
{
    struct ws_event event;
    unsigned code = WS_CLOSE_PROTOCOL;
    struct err e = {0};
    size_t used;
    enum io io = IO_DONE;

    for (int i = 0; i < WS_CONN_MAX_EVENTS && io == IO_DONE && may_read_input(c) && !c->is_deaf;
         i++) {
        used = 0;
        io = ws_frame_read(&c->reader, input, &used, &event, &code, &e);
        input = str_slice(input, used, input.len);
        if (io == IO_DONE)
            take_event(c, &event);
        else if (io == IO_ERR)
            take_violation(c, code, &e);
    }
    if (!c->is_freed && !c->is_deaf && c->state != WS_CONN_LAST_WORDS)
        buf_put(&c->in, input);
}

static void feed_kept(struct ws_conn *c)
{
    struct buf kept = c->in;

    c->in = (struct buf){0};
    feed_input(c, buf_str(&kept));
    buf_free(&kept);
}

static void read_input(struct ws_conn *c)
{
    /* Not on the stack, where each page is touched; here only those that bytes come into are. */
    static char data[WS_CONN_READ_BYTES];
    struct err e = {0};
    size_t n;

    switch (stream_read(c->stream, data, sizeof data, &n, &e)) {
    case IO_DONE:
        c->alive_ms = loop_time_ms(c);
        feed_input(c, (struct str){data, n});
        break;
    case IO_WANT_READ:
    case IO_WANT_WRITE:
        if (c->is_lost)
            end_ws_conn(c);
        break;
    case IO_EOF:
        forget_loss(c);
        end_ws_conn(c);
        break;
    case IO_ERR: end_broken(c, &e); break;
    }
}

/* Waits for what comes next. */
static void watch_stream(struct ws_conn *c)
{
    struct err e = {0};

    if (c->is_freed)
        return;
    if (c->in.failed) {
        err_set(&e, ERR_FAILED, "out of memory");
        end_broken(c, &e);
    } else if (may_read_input(c) && c->in.len > 0) {
        loop_defer(c->options.loop, &c->turn);
    } else if (may_read_input(c) && stream_expect(c->stream, &e) != 0) {
        end_broken(c, &e);
    }
}

/* The stream may be read or written again; it does not report which. */
static void on_ws_wake(void *owner)
{
    struct ws_conn *c = owner;

    enter_ws_conn(c);
    c->is_woken = true;
    if (c->is_write_blocked || c->is_deaf || !may_read_input(c))
        loop_defer(c->options.loop, &c->turn);
    if (may_read_input(c) && c->in.len == 0) {
        read_input(c);
        watch_stream(c);
    }
    leave_ws_conn(c);
}

static void on_ws_turn(void *owner)
{
    struct ws_conn *c = owner;

    enter_ws_conn(c);
    if (may_read_input(c) && c->in.len > 0)
        feed_kept(c);
    if (!c->is_freed) {
        write_due(c);
        after_write(c);
    }
    if (!c->is_freed && c->is_lost && !may_read_input(c))
        end_ws_conn(c);
    else if (!c->is_freed && c->is_lost && c->in.len == 0)
        read_input(c);
    watch_stream(c);
    leave_ws_conn(c);
}

struct stream *ws_conn_take(struct ws_conn *c, struct buf *early)
{
    struct stream *stream = c->stream;

    if (!ws_conn_is_open(c) || c->is_busy || !c->is_paused || c->is_lost || c->owes_pong ||
        ws_conn_queued(c) > 0 || has_staged(c) || c->reader.head_len > 0 || c->reader.in_message)
        return NULL;
    buf_put_buf(early, &c->in);
    if (early->failed)
        return NULL;
    loop_undefer(c->options.loop, &c->turn);
    loop_clear_timer(c->options.loop, &c->timer);
    release_ws_conn(c);
    return stream;
}

void ws_conn_pause(struct ws_conn *c)
{
    c->is_paused = true;
}

void ws_conn_resume(struct ws_conn *c)
{
    if (!c->is_paused || c->is_freed)
        return;
    c->is_paused = false;
    c->alive_ms = loop_time_ms(c);
    loop_defer(c->options.loop, &c->turn);
}

/* ---- time ---- */

static void set_ws_timer(struct ws_conn *c)
{
    const struct ws_conn_options *o = &c->options;
    int64_t at_ms = CLOCK_NEVER_MS;

    if (o->ping_interval_ms > 0)
        at_ms = c->pinged_ms + o->ping_interval_ms;
    if (o->dead_after_ms > 0)
        at_ms = clock_earlier(at_ms, c->alive_ms + o->dead_after_ms);
    loop_set_timer(o->loop, &c->timer, at_ms);
}

/* Is it dead, and why? */
static bool is_peer_dead(const struct ws_conn *c, struct err *e)
{
    int64_t patience_ms = c->options.dead_after_ms;
    long long seconds = (long long)patience_ms / 1000;

    if (patience_ms <= 0)
        return false;
    if (loop_time_ms(c) - c->alive_ms >= patience_ms)
        err_set(e, ERR_NETWORK, "dead: no answer to pings, not a byte for %lld s", seconds);
    else if (c->is_write_blocked && loop_time_ms(c) - c->taken_ms >= patience_ms)
        err_set(e, ERR_NETWORK, "dead: the other side does not read, it took nothing for %lld s",
                seconds);
    return e->code != ERR_NONE;
}

static void on_ws_time(void *owner)
{
    struct ws_conn *c = owner;
    struct err e = {0};

    enter_ws_conn(c);
    if (c->is_paused)
        c->alive_ms = loop_time_ms(c); /* its messages are not read meanwhile */
    if (c->state != WS_CONN_OPEN) {
        if (ws_conn_queued(c) > 0)
            stream_drop_unsent(c->stream);
        end_ws_conn(c);
    } else if (is_peer_dead(c, &e)) {
        end_dead(c, &e);
    } else {
        if (c->options.ping_interval_ms > 0 &&
            loop_time_ms(c) - c->pinged_ms >= c->options.ping_interval_ms) {
            c->pinged_ms = loop_time_ms(c);
            /* A ping behind a queue that does not move would add nothing to what that shows. */
            if (!c->is_write_blocked)
                ws_conn_ping(c, STR(""));
        }
        set_ws_timer(c);
    }
    leave_ws_conn(c);
}

/* ---- the beginning ---- */

static bool fill_buffers(struct ws_conn *c, struct str first, struct str early, struct err *e)
{
    buf_put(&c->out, first);
    buf_put(&c->in, early);
    c->is_long = first.len > c->options.drained_bytes;
    count_queued(c);
    if (c->options.role == WS_CLIENT)
        c->masks = calloc(1, sizeof *c->masks);
    if (!c->out.failed && !c->in.failed && (c->options.role == WS_SERVER || c->masks != NULL))
        return true;
    err_set(e, ERR_FAILED, "out of memory");
    return false;
}

struct ws_conn *ws_conn_new(const struct ws_conn_options *options, struct stream *stream,
                            struct str first, struct str early, struct err *e)
{
    struct ws_conn *c = calloc(1, sizeof *c);
    const struct loop_wake wake = {options->loop, on_ws_wake, c};

    if (c == NULL) {
        stream_free(stream);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    c->options = *options;
    if (c->options.max_message_bytes == 0)
        c->options.max_message_bytes = WS_MAX_MESSAGE_BYTES;
    if (c->options.max_queued_bytes == 0)
        c->options.max_queued_bytes = WS_CONN_MAX_QUEUED_BYTES;
    c->stream = stream;
    c->timer = (struct loop_timer){.call = on_ws_time, .owner = c};
    c->turn = (struct loop_call){.call = on_ws_turn, .owner = c};
    c->alive_ms = c->taken_ms = c->pinged_ms = loop_time_ms(c);
    c->close_code = WS_CLOSE_ABNORMAL;
    ws_reader_init(&c->reader, options->role, c->options.max_message_bytes);
    stream_set_wake(stream, &wake);
    if (!fill_buffers(c, first, early, e) || stream_expect(stream, e) != 0) {
        ws_conn_free(c);
        return NULL;
    }
    set_ws_timer(c);
    loop_defer(options->loop, &c->turn);
    return c;
}
