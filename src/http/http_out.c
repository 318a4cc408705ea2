/* The way out of an HTTP connection: answers, files, deadlines of slow readers. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "http/cors.h"
#include "http/http_conn.h"
#include "proto/extensions.h"

enum { DATE_VALID_MS = 500, MAX_MESSAGE_BYTES = 1024, HEAD_ROOM_BYTES = 384 };

bool http_out_is_empty(const struct http_conn *conn)
{
    return conn->out_sent == conn->out.len && !http_out_has_body(conn);
}

bool http_out_has_body(const struct http_conn *conn)
{
    return conn->file_left > 0 || conn->made_left > 0;
}

void http_out_end_source(struct http_conn *conn, bool is_whole)
{
    struct http_source source = conn->source_of_body;

    conn->source_of_body = (struct http_source){0};
    conn->made_left = 0;
    conn->is_dry = false;
    if (source.on_end != NULL)
        source.on_end(source.ctx, is_whole);
}

void http_out_flush_later(struct http_conn *conn)
{
    loop_defer(conn->server->options.loop, &conn->flush);
}

static struct str date_now(struct http_server *server)
{
    int64_t now = loop_now_ms(server->options.loop);

    if (server->date[0] == '\0' || now - server->date_ms >= DATE_VALID_MS) {
        http_head_format_date(clock_wall_ms(), server->date);
        server->date_ms = now;
    }
    return str_of(server->date);
}

/* Returns whether the connection ends after the answer to the current request. */
static bool closes_after(const struct http_conn *conn, const struct http_answer *answer)
{
    return conn->must_close || answer->must_close || conn->server->is_draining ||
           conn->has_unread_body;
}

static bool has_length(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void put_answer_head(struct http_conn *conn, const struct http_answer *answer,
                            uint64_t length)
{
    struct buf *out = &conn->out;

    http_head_put_status(out, answer->status);
    http_head_put_header(out, "Date", date_now(conn->server));
    if (conn->route != NULL && conn->route->is_public) {
        http_head_put_header(out, "Access-Control-Allow-Origin", STR("*"));
        http_head_put_header(out, "Access-Control-Expose-Headers", STR(CORS_EXPOSED));
    }
    if (conn->server->options.extensions != NULL)
        http_head_put_header(out, EXTENSIONS_HEADER, str_of(conn->server->options.extensions));
    if (answer->content_type != NULL)
        http_head_put_header(out, "Content-Type", str_of(answer->content_type));
    for (size_t i = 0; i < answer->header_count; i++)
        http_head_put_header(out, answer->headers[i].name.p, answer->headers[i].value);
    if (has_length(answer->status))
        http_head_put_length(out, length);
    if (conn->must_close)
        http_head_put_header(out, "Connection", STR("close"));
    else if (conn->is_http10)
        http_head_put_header(out, "Connection", STR("keep-alive"));
    http_head_put_end(out);
}

/* Takes the spare buffer: to ask malloc(3) for one with every request would cost more than to parse
 * the request. */
static void take_spare_buffer(struct http_conn *conn)
{
    struct buf *spare = &conn->server->spare_out;

    if (conn->out.data != NULL || spare->data == NULL)
        return;
    conn->out = *spare;
    *spare = (struct buf){0};
}

static void give_spare_buffer(struct http_conn *conn)
{
    struct buf *spare = &conn->server->spare_out;

    if (spare->data != NULL || conn->out.failed || conn->out.cap > HTTP_SERVER_SMALL_HELD) {
        buf_free(&conn->out);
        return;
    }
    *spare = conn->out;
    conn->out = (struct buf){0};
    buf_clear(spare);
}

/* The head and what every answer changes in the connection's state. */
static void begin_http_answer(struct http_conn *conn, const struct http_answer *answer,
                              uint64_t length)
{
    if (conn->out_sent == conn->out.len) {
        buf_clear(&conn->out);
        conn->out_sent = 0;
    }
    conn->is_handling = false;
    if (conn->state == HTTP_CONN_WAITING)
        conn->sink.on_gone = NULL;
    conn->must_close = closes_after(conn, answer);
    take_spare_buffer(conn);
    buf_reserve(&conn->out, HEAD_ROOM_BYTES + answer->body.len);
    put_answer_head(conn, answer, length);
    http_out_flush_later(conn);
}

/* An answer that comes after its handler returned ends the waiting; one that comes while a body is
 * streamed, and not from its sink, ends that. */
static void end_waiting(struct http_conn *conn)
{
    if (conn->state == HTTP_CONN_WAITING && http_out_has_body(conn)) {
        http_conn_set_state(conn, HTTP_CONN_SENDING);
    } else if (conn->state == HTTP_CONN_WAITING) {
        http_dispatch_skip(conn);
    } else if (conn->state == HTTP_CONN_STREAM && !conn->is_feeding) {
        conn->sink = (struct http_sink){0};
        http_conn_set_state(conn, HTTP_CONN_IDLE);
    }
}

/* The headers of an answer that could not be made may describe its body: none stay. */
static struct http_answer answer_of_want(void)
{
    return (struct http_answer){.status = 500,
                                .content_type = "text/plain; charset=utf-8",
                                .body = STR("Error: out of memory")};
}

void http_conn_answer(struct http_conn *conn, const struct http_answer *given)
{
    bool is_made = given->made == NULL || !given->made->failed;
    struct http_answer answer = is_made ? *given : answer_of_want();

    if (is_made && given->made != NULL)
        answer.body = buf_str(given->made);
    begin_http_answer(conn, &answer, answer.body.len);
    if (!conn->is_head_request && has_length(answer.status))
        buf_put(&conn->out, answer.body);
    end_waiting(conn);
}

/* The rest, such as the next request, is still done at the end of the round. */
void http_conn_write_answer(struct http_conn *conn)
{
    if (!conn->is_dead && !conn->is_feeding)
        http_out_flush(conn);
}

void http_conn_answer_message(struct http_conn *conn, int status, const char *format, ...)
{
    char message[MAX_MESSAGE_BYTES];
    struct buf body = {0};
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    json_open(&body, '{');
    json_put_str(&body, "message", str_of(message));
    json_close(&body, '}');
    http_conn_answer(conn, &(struct http_answer){.status = status,
                                                 .content_type = "application/json; charset=utf-8",
                                                 .made = &body});
    buf_free(&body);
}

void http_conn_answer_file(struct http_conn *conn, const struct http_answer *answer, int fd,
                           int64_t offset, int64_t length)
{
    begin_http_answer(conn, answer, (uint64_t)length);
    if (conn->is_head_request || length == 0) {
        close(fd);
    } else {
        conn->file_fd = fd;
        conn->file_offset = offset;
        conn->file_left = length;
    }
    end_waiting(conn);
}

void http_conn_answer_made(struct http_conn *conn, const struct http_answer *answer,
                           int64_t length, const struct http_source *source)
{
    begin_http_answer(conn, answer, (uint64_t)length);
    conn->source_of_body = *source;
    if (conn->is_head_request || length == 0) {
        http_out_end_source(conn, true);
    } else {
        conn->made_left = length;
        conn->is_first_part = true;
    }
    end_waiting(conn);
}

void http_conn_resume_answer(struct http_conn *conn)
{
    conn->is_dry = false;
    http_out_flush_later(conn);
}

void http_out_continue(struct http_conn *conn)
{
    buf_puts(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
    http_out_flush_later(conn);
}

/* The result of the last write: SENT_SOME waits for the client, SENT_TURN for the others. */
enum sent { SENT_ALL, SENT_SOME, SENT_TURN, SENT_DRY, SENT_FAILED };

/* Returns the result of an attempt that wrote nothing. */
static enum sent result_of_stop(enum io io)
{
    return io == IO_WANT_WRITE || io == IO_WANT_READ ? SENT_SOME : SENT_FAILED;
}

/* The client took some. */
static void note_write_progress(struct http_conn *conn)
{
    conn->write_deadline_ms = CLOCK_NEVER_MS;
    http_room_touch(conn);
}

static enum sent send_buffer(struct http_conn *conn)
{
    while (conn->out_sent < conn->out.len) {
        struct str rest = str_slice(buf_str(&conn->out), conn->out_sent, SIZE_MAX);
        struct err ignored;
        size_t n;
        enum io io = conn->file_left > 0 ? stream_write_more(conn->stream, rest, &n, &ignored)
                                         : stream_write(conn->stream, rest, &n, &ignored);
        if (io != IO_DONE)
            return result_of_stop(io);
        conn->out_sent += n;
        note_write_progress(conn);
    }
    return SENT_ALL;
}

/* Logs the cause, which the client sees only as the cut of its connection. */
static enum sent cannot_read(const struct http_conn *conn, const char *cause)
{
    struct buf path = {0};

    fs_put_open_path(conn->file_fd, &path);
    log_line(LOG_ERROR, "cannot read %s at %lld: %s", buf_cstr(&path),
             (long long)conn->file_offset, cause);
    buf_free(&path);
    return SENT_FAILED;
}

/* Sends at most one turn's worth, so that one fast reader does not keep the others waiting. */
static enum sent send_file(struct http_conn *conn)
{
    int64_t budget = HTTP_SERVER_SENDFILE_BYTES;
    struct err e;
    size_t n;

    while (conn->file_left > 0 && budget > 0) {
        size_t want = (size_t)(conn->file_left < budget ? conn->file_left : budget);
        enum io io = stream_send_file(conn->stream, conn->file_fd, conn->file_offset, want, &n, &e);
        if (io == IO_EOF)
            return cannot_read(conn, "it became shorter");
        if (io == IO_ERR && e.code == ERR_FAILED)
            return cannot_read(conn, e.msg);
        if (io != IO_DONE)
            return result_of_stop(io);
        conn->file_offset += (int64_t)n;
        conn->file_left -= (int64_t)n;
        budget -= (int64_t)n;
        note_write_progress(conn);
    }
    return conn->file_left > 0 ? SENT_TURN : SENT_ALL;
}

/* Makes a part of the body behind what the buffer has. False when the source failed. */
static bool make_body_part(struct http_conn *conn)
{
    const struct http_source *source = &conn->source_of_body;
    size_t room = conn->made_left < HTTP_SERVER_MADE_BYTES ? (size_t)conn->made_left
                                                           : HTTP_SERVER_MADE_BYTES;
    size_t before = conn->out.len;

    if (!source->make(source->ctx, conn, &conn->out, room) || conn->out.failed ||
        conn->out.len - before > room)
        return false;
    conn->is_dry = conn->out.len == before;
    conn->made_left -= (int64_t)(conn->out.len - before);
    if (conn->made_left == 0)
        http_out_end_source(conn, true);
    return true;
}

/* The head, and with it the first part of a body that is made: in one segment if they are short. */
static enum sent send_head(struct http_conn *conn)
{
    bool joins = conn->is_first_part && conn->made_left > 0 && !conn->is_dry;

    conn->is_first_part = false;
    if (conn->out.failed || (joins && !make_body_part(conn)))
        return SENT_FAILED;
    return send_buffer(conn);
}

/* Sends bytes that the source lends. */
static enum sent send_lent(struct http_conn *conn)
{
    const struct http_source *source = &conn->source_of_body;
    struct str bytes = STR("");
    struct err ignored;
    size_t n;

    if (!source->lend(source->ctx, conn, &bytes) || (int64_t)bytes.len > conn->made_left)
        return SENT_FAILED;
    conn->is_dry = bytes.len == 0;
    if (conn->is_dry)
        return SENT_DRY;
    enum io io = stream_write(conn->stream, bytes, &n, &ignored);
    if (io != IO_DONE)
        return result_of_stop(io);
    note_write_progress(conn);
    source->took(source->ctx, n);
    conn->made_left -= (int64_t)n;
    if (conn->made_left == 0)
        http_out_end_source(conn, true);
    return SENT_ALL;
}

/* Sends bytes that the source makes. */
static enum sent send_copied(struct http_conn *conn)
{
    buf_clear(&conn->out);
    conn->out_sent = 0;
    return make_body_part(conn) ? send_buffer(conn) : SENT_FAILED;
}

/* Sends as much as the client takes, at most one turn's worth. */
static enum sent send_made(struct http_conn *conn)
{
    enum sent sent = SENT_ALL;
    int64_t least_left = conn->made_left - HTTP_SERVER_SENDFILE_BYTES;

    while (sent == SENT_ALL && conn->made_left > 0) {
        if (conn->made_left <= least_left)
            return SENT_TURN;
        if (conn->is_dry)
            return SENT_DRY;
        sent = conn->source_of_body.lend != NULL ? send_lent(conn) : send_copied(conn);
    }
    return sent;
}

static void release_output(struct http_conn *conn)
{
    conn->out_sent = 0;
    if (conn->out.cap > HTTP_SERVER_READ_BYTES || conn->state == HTTP_CONN_IDLE)
        give_spare_buffer(conn);
    else
        buf_clear(&conn->out);
    if (conn->file_fd >= 0)
        close(conn->file_fd);
    conn->file_fd = -1;
}

bool http_out_flush(struct http_conn *conn)
{
    enum sent sent = send_head(conn);

    if (sent == SENT_ALL && conn->file_left > 0)
        sent = send_file(conn);
    if (sent == SENT_ALL && conn->made_left > 0)
        sent = send_made(conn);
    switch (sent) {
    case SENT_DRY:
        buf_free(&conn->out);
        conn->out_sent = 0;
        conn->write_deadline_ms = CLOCK_NEVER_MS;
        http_conn_update(conn);
        return true;
    case SENT_ALL:
        release_output(conn);
        conn->write_deadline_ms = CLOCK_NEVER_MS;
        http_conn_update(conn);
        return true;
    case SENT_TURN: stream_yield(conn->stream); /* fall through */
    case SENT_SOME:
        if (conn->write_deadline_ms == CLOCK_NEVER_MS)
            conn->write_deadline_ms =
                loop_now_ms(conn->server->options.loop) + conn->server->options.times.write_ms;
        http_conn_update(conn);
        http_room_limit_held(conn);
        return true;
    default: http_conn_lose(conn); return false;
    }
}
