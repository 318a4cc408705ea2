#include "http/http_call.h"

#include "base/clock.h"

void http_send_rewind(struct http_call *call)
{
    call->head_sent = 0;
    call->body_sent = 0;
    call->chunk = call->options.source == NULL ? call->options.body : STR("");
    call->body_left = call->options.source == NULL ? 0 : call->options.body_size;
    call->is_sent = false;
    call->is_held = call->options.expect_ms > 0 && (call->chunk.len > 0 || call->body_left > 0);
    call->body_due_ms = CLOCK_NEVER_MS;
    call->unacknowledged = 0;
    call->send_failure = (struct err){0};
}

/* True while the body waits for the server's word. */
static bool is_body_held(struct http_call *call, int64_t now_ms)
{
    if (call->is_held && call->body_due_ms != CLOCK_NEVER_MS && now_ms >= call->body_due_ms)
        call->is_held = false;
    return call->is_held;
}

/* Gets the next chunk from the source. IO_DONE, IO_WANT_READ, IO_ERR. */
static enum io refill_chunk(struct http_call *call, int64_t now_ms, struct err *e)
{
    enum io io = call->options.source(call->options.ctx, &call->chunk, e);

    call->is_source_used = true;
    call->is_source_waiting = io == IO_WANT_READ || io == IO_WANT_WRITE;
    if (call->is_source_waiting) {
        call->chunk = STR("");
        call->activity_ms = now_ms;
        return IO_WANT_READ;
    }
    if (io == IO_DONE && (int64_t)call->chunk.len <= call->body_left) {
        call->body_left -= (int64_t)call->chunk.len;
        return IO_DONE;
    }
    call->is_own_failure = io == IO_ERR;
    if (io != IO_ERR)
        err_set(e, ERR_FAILED, "the body is not of the %lld bytes that were announced",
                (long long)call->options.body_size);
    return IO_ERR;
}

static void note_sent(struct http_call *call, int64_t now_ms, size_t n)
{
    size_t head_left = call->head_out.len - call->head_sent;
    size_t of_head = n < head_left ? n : head_left;

    call->head_sent += of_head;
    call->chunk = str_slice(call->chunk, n - of_head, call->chunk.len);
    call->body_sent += (int64_t)(n - of_head);
    call->activity_ms = now_ms;
    if (call->is_held && call->head_sent == call->head_out.len)
        call->body_due_ms = now_ms + call->options.expect_ms;
}

void http_send_watch(struct http_call *call, int64_t now_ms)
{
    size_t left;

    if (call->unacknowledged == 0 || call->stream == NULL)
        return;
    left = stream_unacknowledged(call->stream);
    if (left != call->unacknowledged)
        call->activity_ms = now_ms;
    call->unacknowledged = left;
}

/* Ends the request when nothing is left to write. */
static void end_request(struct http_call *call)
{
    call->is_sent = true;
    if (call->options.source != NULL)
        call->unacknowledged = stream_unacknowledged(call->stream);
}

enum io http_send_step(struct http_call *call, int64_t now_ms, struct err *e)
{
    size_t moved = 0, n;
    enum io io;

    while (!call->is_sent) {
        struct str head = str_slice(buf_str(&call->head_out), call->head_sent, SIZE_MAX);
        bool is_head_only = is_body_held(call, now_ms);
        if (is_head_only && head.len == 0)
            return IO_WANT_READ;
        if (!is_head_only && call->chunk.len == 0 && call->body_left > 0 &&
            (io = refill_chunk(call, now_ms, e)) != IO_DONE)
            return io;
        if (head.len == 0 && call->chunk.len == 0) {
            end_request(call);
            break;
        }
        if (moved >= HTTP_CALL_STEP_BYTES) {
            stream_yield(call->stream);
            return IO_WANT_WRITE;
        }
        io = stream_write2(call->stream, head, is_head_only ? STR("") : call->chunk, &n,
                           &call->send_failure);
        if (io == IO_ERR)
            call->is_sent = true; /* nothing more of it */
        else if (io != IO_DONE)
            return io;
        else {
            note_sent(call, now_ms, n);
            moved += n;
        }
    }
    return IO_DONE;
}
