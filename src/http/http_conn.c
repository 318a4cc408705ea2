/* The way in of an HTTP connection: reading, parsing, handing requests to their routes. */
#include "http/http_conn.h"

#include "base/clock.h"

/* ---- states, deadlines, interest ---- */

static int64_t state_time_ms(const struct http_conn *conn)
{
    const struct http_times *times = &conn->server->options.times;

    switch (conn->state) {
    case HTTP_CONN_IDLE: return times->idle_ms;
    case HTTP_CONN_HEAD: return times->head_ms;
    case HTTP_CONN_COLLECT:
    case HTTP_CONN_SKIP: return times->body_ms;
    case HTTP_CONN_STREAM: return times->stall_ms;
    case HTTP_CONN_LINGER: return times->linger_ms;
    case HTTP_CONN_WAITING:
    case HTTP_CONN_SENDING: break;
    }
    return CLOCK_NEVER_MS;
}

/* The state begins anew, as far as its time goes. */
static void renew_time(struct http_conn *conn)
{
    int64_t time = state_time_ms(conn);

    conn->state_deadline_ms =
        time == CLOCK_NEVER_MS ? time : loop_now_ms(conn->server->options.loop) + time;
    conn->streamed = 0;
}

void http_conn_set_state(struct http_conn *conn, enum http_conn_state state)
{
    conn->state = state;
    conn->is_paused = false;
    renew_time(conn);
    if (state == HTTP_CONN_IDLE)
        conn->parser = (struct http_head_parser){0};
    http_room_touch(conn);
}

/* True when all together hold more than they may, and this one more than a little: it is to make
 * room. */
static bool holds_too_much(const struct http_conn *conn)
{
    return conn->server->held > conn->server->options.max_held &&
           conn->held > HTTP_SERVER_SMALL_HELD;
}

static bool wants_read(const struct http_conn *conn)
{
    if (conn->is_paused)
        return false;
    switch (conn->state) {
    case HTTP_CONN_WAITING: return conn->in.len < HTTP_SERVER_MAX_INPUT && !holds_too_much(conn);
    case HTTP_CONN_SENDING: return false;
    case HTTP_CONN_LINGER: return true;
    case HTTP_CONN_IDLE:
        /* The rest of pipelined requests is fed when the answers are written. */
        return !conn->must_close && conn->in.len == 0;
    default:
        return conn->out.len - conn->out_sent < HTTP_SERVER_MAX_OUTPUT &&
               (conn->out.len == conn->out_sent || !holds_too_much(conn));
    }
}

static void account_held(struct http_conn *conn)
{
    size_t held = conn->in.cap + conn->collected.cap + conn->out.cap;

    conn->server->held = conn->server->held - conn->held + held;
    conn->held = held;
}

/* Asks for what the state needs; to write, the attempt itself has asked. A timer that is early is
 * left alone: it fires, finds nothing due and is set again, which is cheaper than moving it with
 * every request. */
void http_conn_update(struct http_conn *conn)
{
    struct loop *loop = conn->server->options.loop;
    int64_t at, set_to = loop_timer_at_ms(&conn->timer);
    struct err ignored;

    if (conn->is_dead)
        return;
    account_held(conn);
    http_room_update(conn);
    if (wants_read(conn) && stream_expect(conn->stream, &ignored) != 0)
        conn->write_deadline_ms = loop_now_ms(loop); /* nothing more can come: it goes */
    at = clock_earlier(conn->state_deadline_ms, conn->write_deadline_ms);
    if (at != CLOCK_NEVER_MS && (set_to == CLOCK_NEVER_MS || at < set_to))
        loop_set_timer(loop, &conn->timer, at);
}

/* ---- the end ---- */

/* Returns its stream, which is the caller's now. */
static struct stream *take_stream_from_loop(struct http_conn *conn)
{
    struct stream *stream = conn->stream;

    loop_clear_timer(conn->server->options.loop, &conn->timer);
    loop_undefer(conn->server->options.loop, &conn->flush);
    http_room_leave(conn);
    conn->is_dead = true;
    conn->stream = NULL;
    return stream;
}

static void report_gone(struct http_conn *conn)
{
    void (*on_gone)(void *ctx) = conn->sink.on_gone;

    conn->sink.on_gone = NULL;
    http_out_end_source(conn, false);
    if (on_gone != NULL)
        on_gone(conn->sink.ctx);
}

void http_conn_lose(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    uint64_t tag = conn->tag;

    if (conn->is_dead)
        return;
    stream_free(take_stream_from_loop(conn));
    report_gone(conn);
    if (!conn->is_feeding)
        http_server_forget(conn);
    if (server->options.on_closed != NULL)
        server->options.on_closed(server->options.owner, tag);
}

static void wake_nobody(void *owner)
{
    (void)owner;
}

struct stream *http_conn_detach(struct http_conn *conn, struct buf *bytes)
{
    const struct loop_wake none = {conn->server->options.loop, wake_nobody, NULL};
    struct stream *stream;

    buf_put(bytes, conn->is_feeding ? conn->input : buf_str(&conn->in));
    bytes->failed |= conn->in.failed;
    stream = take_stream_from_loop(conn);
    stream_set_wake(stream, &none);
    conn->is_handling = false;
    if (!conn->is_feeding)
        http_server_forget(conn);
    return stream;
}

int http_conn_detach_fd(struct http_conn *conn, struct buf *bytes)
{
    struct stream *stream = http_conn_detach(conn, bytes);
    int fd = stream_take_fd(stream);

    if (fd < 0)
        stream_free(stream);
    return fd;
}

bool http_conn_has_fd(const struct http_conn *conn)
{
    return stream_has_fd(conn->stream);
}

/* ---- one step for each state; false: no further now ---- */

static bool step_head(struct http_conn *conn)
{
    struct err e = {0};
    int status = 400;

    if (conn->must_close || conn->input.len == 0)
        return false;
    switch (http_head_parse(&conn->parser, HTTP_REQUEST, conn->input, STR(""), &conn->server->head,
                            &status, &e)) {
    case IO_DONE: return http_dispatch_head(conn);
    case IO_WANT_READ:
        if (conn->state == HTTP_CONN_IDLE)
            http_conn_set_state(conn, HTTP_CONN_HEAD);
        return false;
    default:
        conn->is_head_request = false;
        http_dispatch_refuse(conn, status, e.msg);
        return true;
    }
}

/* The next part of the body's content; false when the input is used up or the body is bad. */
static bool decode_body(struct http_conn *conn, struct str *data)
{
    struct err e = {0};
    size_t used = 0;
    enum io io;

    *data = STR("");
    if (http_body_is_complete(&conn->body))
        return true;
    io = http_body_decode(&conn->body, conn->input, &used, data, &e);
    http_dispatch_take(conn, used);
    if (io == IO_ERR) {
        report_gone(conn);
        http_dispatch_refuse(conn, 400, e.msg);
        return false;
    }
    return io == IO_DONE || data->len > 0;
}

static bool step_collect(struct http_conn *conn)
{
    struct str data;

    if (!decode_body(conn, &data))
        return false;
    if (conn->collected.len - conn->collected_head + data.len > conn->route->max_body_bytes) {
        http_dispatch_refuse(conn, 413, "request body too large");
        return true;
    }
    buf_put(&conn->collected, data);
    return http_body_is_complete(&conn->body) ? http_dispatch_collected(conn) : true;
}

/* A body that comes by single bytes comes too slowly: its time is set anew by a number of them. */
static void note_body_progress(struct http_conn *conn, size_t bytes)
{
    conn->streamed += (int64_t)bytes;
    if (conn->streamed >= state_time_ms(conn) * HTTP_SERVER_MIN_BODY_RATE / 1000)
        renew_time(conn);
    http_room_touch(conn);
}

/* Passes a part on. False when it was answered early, as when the disk is full: the rest of the
 * body is then not wanted. */
static bool stream_data(struct http_conn *conn, struct str data)
{
    struct http_sink sink = conn->sink;

    note_body_progress(conn, data.len);
    sink.on_data(sink.ctx, conn, data);
    if (conn->is_dead || conn->is_handling)
        return !conn->is_dead;
    conn->sink = (struct http_sink){0};
    http_conn_set_state(conn, HTTP_CONN_IDLE);
    return false;
}

static bool step_stream(struct http_conn *conn)
{
    struct http_sink sink = conn->sink;
    struct str data;

    if (!decode_body(conn, &data) || (data.len > 0 && !stream_data(conn, data)))
        return false;
    if (conn->is_paused || !http_body_is_complete(&conn->body))
        return true;
    conn->sink = (struct http_sink){0};
    conn->has_unread_body = false;
    http_conn_set_state(conn, HTTP_CONN_IDLE);
    sink.on_end(sink.ctx, conn);
    http_dispatch_after(conn);
    return !conn->is_dead;
}

static bool step_skip(struct http_conn *conn)
{
    struct str data;

    if (!decode_body(conn, &data))
        return false;
    if (http_body_is_complete(&conn->body))
        http_conn_set_state(conn, HTTP_CONN_IDLE);
    return true;
}

/* While it still sends what was refused it has not read why: hung up on now, it would hear of a
 * reset instead. */
static void step_linger(struct http_conn *conn)
{
    if (conn->input.len > 0)
        conn->state_deadline_ms = clock_earlier(
            loop_now_ms(conn->server->options.loop) + state_time_ms(conn), conn->linger_end_ms);
    conn->input.len = 0;
}

static bool step_connection(struct http_conn *conn)
{
    switch (conn->state) {
    case HTTP_CONN_IDLE:
        account_held(conn);
        if (conn->out.len - conn->out_sent >= HTTP_SERVER_MAX_OUTPUT ||
            (conn->out.len > conn->out_sent && holds_too_much(conn)))
            return false;
        return step_head(conn);
    case HTTP_CONN_HEAD: return step_head(conn);
    case HTTP_CONN_COLLECT: return step_collect(conn);
    case HTTP_CONN_STREAM: return !conn->is_paused && step_stream(conn);
    case HTTP_CONN_SKIP: return step_skip(conn);
    case HTTP_CONN_LINGER: step_linger(conn); return false;
    case HTTP_CONN_WAITING:
    case HTTP_CONN_SENDING: break;
    }
    return false;
}

/* Keeps what the steps left over. */
static void keep_input(struct http_conn *conn)
{
    if (conn->must_close && conn->state == HTTP_CONN_IDLE)
        conn->input.len = 0;
    if (conn->in.len > 0)
        buf_consume(&conn->in, conn->in.len - conn->input.len);
    else
        buf_put(&conn->in, conn->input);
    if (conn->in.len == 0 && !conn->in.failed)
        buf_free(&conn->in);
}

/* A request that is not complete, and will not be. */
static void give_request_up(struct http_conn *conn, int status, const char *reason)
{
    report_gone(conn);
    http_dispatch_refuse(conn, status, reason);
    buf_free(&conn->in);
    buf_free(&conn->collected);
    http_conn_update(conn);
}

void http_conn_feed(struct http_conn *conn, struct str bytes)
{
    if (conn->in.len > 0) {
        buf_put(&conn->in, bytes);
        conn->input = buf_str(&conn->in);
    } else {
        conn->input = bytes;
    }
    conn->is_feeding = true;
    while (!conn->is_dead && step_connection(conn))
        continue;
    conn->is_feeding = false;
    if (conn->is_dead) {
        http_server_forget(conn);
        return;
    }
    keep_input(conn);
    if (conn->in.failed || conn->out.failed) {
        http_conn_lose(conn);
        return;
    }
    http_conn_update(conn);
    if ((conn->state == HTTP_CONN_HEAD || conn->state == HTTP_CONN_COLLECT) && holds_too_much(conn))
        give_request_up(conn, 503, "too much is being sent, try again later");
}

/* Continues when everything is written. */
static void continue_after_answer(struct http_conn *conn)
{
    const struct http_server *server = conn->server;
    const struct http_server_options *options = &server->options;

    if (conn->state == HTTP_CONN_SENDING)
        http_dispatch_skip(conn);
    if (conn->state == HTTP_CONN_IDLE && conn->must_close) {
        stream_end(conn->stream);
        http_conn_set_state(conn, HTTP_CONN_LINGER);
        conn->linger_end_ms = loop_now_ms(server->options.loop) + server->options.times.stall_ms;
    } else if (((conn->state == HTTP_CONN_IDLE || conn->state == HTTP_CONN_SKIP) &&
                conn->in.len > 0) ||
               (conn->state == HTTP_CONN_STREAM && !conn->is_paused)) {
        http_conn_feed(conn, STR(""));
        return;
    }
    http_conn_update(conn);
    if (conn->state == HTTP_CONN_IDLE && options->on_answered != NULL)
        options->on_answered(options->owner, conn, &conn->tag);
}

/* ---- what the loop calls ---- */

/* Much at once of a long body, but little of what follows it: that may be another's to serve. */
static size_t read_size(const struct http_conn *conn)
{
    const struct http_body *body = &conn->body;
    size_t most = conn->server->options.read_bytes, size = HTTP_SERVER_READ_BYTES;

    if (conn->state == HTTP_CONN_WAITING)
        size = conn->server->held > conn->server->options.max_held
                   ? HTTP_SERVER_SMALL_HELD
                   : HTTP_SERVER_MAX_INPUT - conn->in.len;
    else if (conn->state == HTTP_CONN_STREAM && body->framing == HTTP_BODY_LENGTH)
        size = body->left < most ? (size_t)body->left + size : most;
    return size < most ? size : most;
}

void http_conn_read(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct err ignored;
    size_t n;
    enum io io = stream_read(conn->stream, server->scratch, read_size(conn), &n, &ignored);

    if (io == IO_WANT_READ || io == IO_WANT_WRITE)
        return;
    if (io == IO_DONE) {
        http_conn_feed(conn, (struct str){server->scratch, n});
        return;
    }
    if (io == IO_EOF && conn->state == HTTP_CONN_IDLE && !http_out_is_empty(conn)) {
        conn->must_close = true; /* it has sent everything: let it read the answer */
        http_conn_update(conn);
        return;
    }
    http_conn_lose(conn);
}

static void on_conn_wake(void *owner)
{
    struct http_conn *conn = owner;

    if (conn->write_deadline_ms != CLOCK_NEVER_MS) {
        if (!http_out_flush(conn))
            return;
        if (http_out_is_empty(conn))
            http_out_flush_later(conn);
    }
    if (wants_read(conn))
        http_conn_read(conn);
    else if (stream_is_lost(conn->stream))
        http_conn_lose(conn);
}

static void on_round_end(void *owner)
{
    struct http_conn *conn = owner;

    if (http_out_flush(conn) && http_out_is_empty(conn))
        continue_after_answer(conn);
}

static void on_state_time(struct http_conn *conn)
{
    struct http_server *server = conn->server;

    switch (conn->state) {
    case HTTP_CONN_IDLE:
        if (!http_out_is_empty(conn)) { /* its answer is being read: write_ms counts */
            renew_time(conn);
            http_conn_update(conn);
            return;
        }
        if (server->options.on_idle != NULL && !conn->must_close)
            server->options.on_idle(conn, server->options.owner);
        else
            http_conn_lose(conn);
        return;
    case HTTP_CONN_HEAD:
    case HTTP_CONN_COLLECT:
    case HTTP_CONN_STREAM:
    case HTTP_CONN_SKIP: give_request_up(conn, 408, "the request was not complete in time"); return;
    default: http_conn_lose(conn);
    }
}

void http_conn_lose_unsent(struct http_conn *conn)
{
    stream_drop_unsent(conn->stream);
    http_conn_lose(conn);
}

void http_conn_refuse_waiting(struct http_conn *conn, const char *reason)
{
    report_gone(conn);
    http_dispatch_refuse(conn, 503, reason);
    buf_free(&conn->in);
    http_conn_update(conn);
}

static void on_conn_time(void *owner)
{
    struct http_conn *conn = owner;
    int64_t now = loop_now_ms(conn->server->options.loop);

    if (conn->write_deadline_ms != CLOCK_NEVER_MS && now >= conn->write_deadline_ms)
        http_conn_lose_unsent(conn);
    else if (conn->state_deadline_ms != CLOCK_NEVER_MS && now >= conn->state_deadline_ms)
        on_state_time(conn);
    else
        http_conn_update(conn);
}

int http_conn_start(struct http_conn *conn, struct stream *stream, struct err *e)
{
    const struct loop_wake wake = {conn->server->options.loop, on_conn_wake, conn};

    conn->stream = stream;
    conn->timer = (struct loop_timer){.call = on_conn_time, .owner = conn};
    conn->flush = (struct loop_call){.call = on_round_end, .owner = conn};
    conn->write_deadline_ms = CLOCK_NEVER_MS;
    stream_set_wake(stream, &wake);
    if (stream_expect(stream, e) != 0)
        return -1;
    return stream_expect_loss(stream, e);
}

void http_conn_wait(struct http_conn *conn, void (*on_gone)(void *ctx), void *ctx)
{
    conn->is_handling = false;
    conn->sink = (struct http_sink){.on_gone = on_gone, .ctx = ctx};
    http_conn_set_state(conn, HTTP_CONN_WAITING);
}

void http_conn_stream(struct http_conn *conn, const struct http_sink *sink)
{
    conn->sink = *sink;
    conn->has_unread_body = true;
    if (conn->input.len == 0 && conn->server->head.expects_continue)
        http_out_continue(conn);
    http_conn_set_state(conn, HTTP_CONN_STREAM);
}

void http_conn_stream_paused(struct http_conn *conn, const struct http_sink *sink)
{
    conn->sink = *sink;
    conn->has_unread_body = true;
    conn->owes_continue = conn->input.len == 0 && conn->server->head.expects_continue;
    http_conn_set_state(conn, HTTP_CONN_STREAM);
    http_conn_pause_body(conn);
}

void http_conn_pause_body(struct http_conn *conn)
{
    if (conn->is_paused)
        return;
    conn->is_paused = true;
    conn->paused_left_ms = conn->state_deadline_ms - loop_now_ms(conn->server->options.loop);
    conn->state_deadline_ms = CLOCK_NEVER_MS;
    http_conn_update(conn);
}

void http_conn_resume_body(struct http_conn *conn)
{
    if (!conn->is_paused)
        return;
    conn->is_paused = false;
    if (conn->owes_continue)
        http_out_continue(conn);
    conn->owes_continue = false;
    /* A pause gives no new time: a client that drips would have for ever. */
    conn->state_deadline_ms = loop_now_ms(conn->server->options.loop) + conn->paused_left_ms;
    http_conn_update(conn);
    http_out_flush_later(conn); /* it feeds the earlier input at the end of the round */
}
