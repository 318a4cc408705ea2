#include <string.h>

#include "http/http_answer.h"
#include "http/http_call.h"
#include "http/http_idle.h"

static struct str unread_input(const struct http_call *call)
{
    return (struct str){call->in_data + call->in_start, call->in_end - call->in_start};
}

/* Reads once behind what is not used yet; that is moved to the front first. */
static enum io fill_input(struct http_call *call, int64_t now_ms, struct err *e)
{
    size_t n, kept = call->in_end - call->in_start;

    if (call->in_data == NULL && (call->in_data = http_idle_take_buffer(call->client)) == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return IO_ERR;
    }
    if (call->in_start > 0 && kept > 0)
        memmove(call->in_data, call->in_data + call->in_start, kept);
    call->in_start = 0;
    call->in_end = kept;
    enum io io =
        stream_read(call->stream, call->in_data + kept, HTTP_CALL_READ_BYTES - kept, &n, e);
    if (io == IO_DONE) {
        call->in_end += n;
        call->has_answer_byte = true;
        call->activity_ms = now_ms;
    }
    return io;
}

static bool is_without_tls(const struct http_call *call)
{
    return stream_tls(call->stream) == NULL;
}

/* Keeps the bytes of the final head and prepares for its body. */
static enum io keep_answer_head(struct http_call *call, size_t size, struct err *e)
{
    int status;

    buf_append(&call->head_in, call->in_data + call->in_start, size);
    call->in_start += size;
    if (buf_check(&call->head_in, e) != 0)
        return IO_ERR;
    /* Once more, now in memory that stays. */
    call->parser = (struct http_head_parser){0};
    if (http_head_parse(&call->parser, HTTP_RESPONSE, buf_str(&call->head_in),
                        buf_str(&call->method), &call->head, &status, e) != IO_DONE)
        return IO_ERR;
    http_body_init(&call->body, call->head.framing, call->head.content_length);
    return IO_DONE;
}

/* A head was parsed: is it the one? */
static enum io consider_head(struct http_call *call, struct err *e)
{
    size_t size = call->head.size;

    if (call->head.status >= 200)
        return keep_answer_head(call, size, e);
    if (call->head.status == 101) {
        err_set(e, ERR_PROTOCOL, "the server changes the protocol unasked");
        return IO_ERR;
    }
    if (++call->interim > HTTP_CLIENT_MAX_INTERIM) {
        err_set(e, ERR_PROTOCOL, "more than %d interim answers", HTTP_CLIENT_MAX_INTERIM);
        return IO_ERR;
    }
    if (call->head.status == 100)
        call->is_held = false;
    call->in_start += size;
    call->parser = (struct http_head_parser){0};
    return IO_WANT_READ;
}

enum io http_receive_head(struct http_call *call, int64_t now_ms, struct err *e)
{
    int status;
    enum io io;

    for (;;) {
        if (call->in_end > call->in_start) {
            io = http_head_parse(&call->parser, HTTP_RESPONSE, unread_input(call),
                                 buf_str(&call->method), &call->head, &status, e);
            if (io == IO_DONE)
                io = consider_head(call, e);
            else if (io == IO_WANT_READ)
                io = IO_EOF; /* all of it was looked at */
            else if (is_without_tls(call) && http_answer_is_tls_record(unread_input(call)))
                err_set(e, ERR_PROTOCOL, "the server answers in TLS: use https:// for this port");
            if (io == IO_DONE || io == IO_ERR)
                return io;
            if (io == IO_WANT_READ)
                continue;
        }
        io = fill_input(call, now_ms, e);
        if (io == IO_EOF)
            err_set(e, ERR_NETWORK, "the server closed the connection %s%s",
                    call->has_answer_byte ? "in the head of its answer" : "without an answer",
                    call->has_answer_byte || call->is_reused || !is_without_tls(call) ||
                            call->proxy.is_used
                        ? ""
                        : " (is this a TLS port? then use https://)");
        if (io == IO_ERR && e->code == ERR_NETWORK)
            return IO_EOF;
        if (io != IO_DONE)
            return io;
    }
}

static bool is_for_sink(const struct http_call *call)
{
    return call->options.sink != NULL && (call->head.status == 200 || call->head.status == 206);
}

/* True when the answer is not the expected one: the beginning of a page with the cause is
 * enough. */
static bool is_no_success(const struct http_call *call)
{
    const struct http_reply answer = {.head = &call->head, .body = buf_str(&call->answer)};

    return call->head.status >= 300 || call->options.sink != NULL || http_answer_is_page(&answer);
}

static int collect_answer(struct http_call *call, struct str data, struct err *e)
{
    size_t max = call->options.max_answer_bytes;
    bool is_too_long = data.len > max - call->answer.len;

    buf_put(&call->answer, str_slice(data, 0, is_too_long ? max - call->answer.len : data.len));
    if (buf_check(&call->answer, e) != 0)
        return -1;
    call->is_cut = is_too_long && is_no_success(call);
    if (is_too_long && !call->is_cut)
        return err_set(e, ERR_TOO_LARGE, "the answer is longer than %zu bytes", max);
    return 0;
}

/* Decodes what was read. IO_DONE: complete; IO_WANT_READ: all used. */
static enum io use_body(struct http_call *call, struct err *e)
{
    struct str data;
    size_t used;
    enum io io;

    do {
        io = http_body_decode(&call->body, unread_input(call), &used, &data, e);
        call->in_start += used;
        if (io == IO_ERR)
            return io;
        if (data.len == 0)
            continue;
        if (is_for_sink(call)) {
            if (call->options.sink(call->options.ctx, &call->head, data, e) != 0) {
                call->is_own_failure = true;
                return IO_ERR;
            }
        } else if (collect_answer(call, data, e) != 0) {
            return IO_ERR;
        }
    } while (io == IO_DONE && !call->is_cut && !http_body_is_complete(&call->body));
    return call->is_cut || http_body_is_complete(&call->body) ? IO_DONE : IO_WANT_READ;
}

/* The connection ended or broke: is that the end of the body? A server that refuses a request
 * before it has all of it often resets the connection behind the refusal, whose beginning is
 * enough. */
static enum io end_of_body(struct http_call *call, enum io io, struct err *e)
{
    if (io == IO_EOF && http_body_at_eof(&call->body, e) == 0)
        return IO_DONE;
    call->is_cut = !is_for_sink(call) && is_no_success(call) && e->code == ERR_NETWORK;
    return call->is_cut ? IO_DONE : IO_ERR;
}

enum io http_receive_body(struct http_call *call, int64_t now_ms, struct err *e)
{
    uint64_t start = call->body.total;
    enum io io;

    for (;;) {
        io = use_body(call, e);
        if (io != IO_WANT_READ)
            return io;
        if (call->body.total - start >= HTTP_CALL_STEP_BYTES) {
            stream_yield(call->stream);
            return io;
        }
        io = fill_input(call, now_ms, e);
        if (io == IO_EOF || io == IO_ERR)
            return end_of_body(call, io, e);
        if (io != IO_DONE)
            return io;
    }
}

/* Servers that refuse before they have read the body may never read from that connection again,
 * even when all of the body is on its way (aiohttp is one). */
static bool may_have_refused_unread(const struct http_call *call)
{
    return call->options.source != NULL && call->head.status >= 300;
}

bool http_receive_is_clean(const struct http_call *call)
{
    return call->is_sent && !may_have_refused_unread(call) && call->send_failure.code == ERR_NONE &&
           !call->is_cut && call->head.is_keep_alive &&
           call->head.framing != HTTP_BODY_UNTIL_CLOSE && call->in_start == call->in_end;
}
