#include "http/http_call.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/version.h"
#include "http/http_idle.h"
#include "proto/url.h"

static bool has_method(const struct http_call_options *options, const char *method)
{
    return str_equal(options->method, str_of(method));
}

static int64_t body_size(const struct http_call_options *options)
{
    return options->source != NULL ? options->body_size : (int64_t)options->body.len;
}

static int check_call_url(const struct url *url, struct err *e)
{
    if (url_is_websocket(url))
        return err_set(e, ERR_USAGE, "%.*s: want http:// or https://",
                       STR_ARG(str_cut(url->text, 100)));
    if (url->userinfo.len > 0)
        return err_set(e, ERR_USAGE, "a URL of %.*s has a user name: want one without",
                       STR_ARG(str_cut(url->host, 100)));
    return 0;
}

static void put_headers(struct buf *out, const struct http_call_options *options)
{
    bool has_body = options->source != NULL || options->body.len > 0 ||
                    has_method(options, "POST") || has_method(options, "PUT") ||
                    has_method(options, "PATCH");
    struct buf name = {0};

    http_head_put_header(out, "User-Agent", STR("kachery-resource/" VERSION));
    for (size_t i = 0; i < options->header_count; i++) {
        buf_clear(&name);
        buf_put(&name, options->headers[i].name);
        http_head_put_header(out, buf_cstr(&name), options->headers[i].value);
        out->failed |= name.failed;
    }
    if (has_body)
        http_head_put_length(out, (uint64_t)body_size(options));
    if (options->expect_ms > 0 && body_size(options) > 0)
        http_head_put_header(out, "Expect", STR("100-continue"));
    buf_free(&name);
}

/* Origin form, or absolute form for a proxy (RFC 9112 §3.2). */
static void put_request_line(struct http_call *call, const struct url *url)
{
    struct buf text = {0};

    if (call->is_absolute) {
        buf_puts(&text, "http://");
        url_put_host(&text, url);
    }
    url_put_target(&text, url);
    http_head_put_request(&call->head_out, call->options.method, buf_str(&text));
    buf_clear(&text);
    url_put_host(&text, url);
    http_head_put_header(&call->head_out, "Host", buf_str(&text));
    if (call->is_absolute && call->proxy.authorization.len > 0)
        http_head_put_header(&call->head_out, "Proxy-Authorization",
                             buf_str(&call->proxy.authorization));
    call->head_out.failed |= text.failed;
    buf_free(&text);
}

static int build_request(struct http_call *call, const struct url *url, struct err *e)
{
    if (http_proxy_find(&call->proxy, url, e) != 0)
        return -1;
    call->is_absolute = call->proxy.is_used && !url_is_tls(url);
    buf_printf(&call->label, "%.*s ", STR_ARG(call->options.method));
    url_put_label(&call->label, url);
    buf_printf(&call->origin, "%s://%.*s:%u", url_is_tls(url) ? "https" : "http",
               STR_ARG(url->host), url->port);
    buf_put(&call->url, url->text);
    buf_put(&call->method, call->options.method);
    put_request_line(call, url);
    put_headers(&call->head_out, &call->options);
    http_head_put_end(&call->head_out);
    buf_cstr(&call->label); /* for its NUL */
    if (call->label.failed || call->origin.failed || call->url.failed || call->method.failed ||
        call->head_out.failed)
        return err_set(e, ERR_FAILED, "cannot build a request with these headers");
    return 0;
}

struct http_call *http_call_new(struct http_client *client, const struct http_call_options *options,
                                void (*wake)(void *owner), void *owner, struct err *e)
{
    struct http_call *call;
    struct url url;

    if (url_parse(&url, options->url, e) != 0 || check_call_url(&url, e) != 0)
        return NULL;
    if (body_size(options) < 0) {
        err_set(e, ERR_USAGE, "a body of %lld bytes", (long long)options->body_size);
        return NULL;
    }
    call = calloc(1, sizeof *call);
    if (call == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    call->client = client;
    call->wake = (struct loop_wake){client->loop, wake, owner};
    call->begin = (struct loop_call){.call = wake, .owner = owner};
    call->alarm = (struct loop_timer){.call = wake, .owner = owner};
    call->options = *options;
    call->begun_ms = call->activity_ms = clock_now_ms();
    if (call->options.max_answer_bytes == 0)
        call->options.max_answer_bytes = HTTP_CLIENT_MAX_ANSWER;
    if (call->options.stall_ms == 0)
        call->options.stall_ms = HTTP_CLIENT_STALL_MS;
    if (call->options.answer_ms == 0)
        call->options.answer_ms = call->options.stall_ms;
    if (build_request(call, &url, e) != 0) {
        http_call_free(call);
        return NULL;
    }
    /* The copied options are not borrowed any more. */
    call->options.method = call->options.url = STR("");
    call->options.headers = NULL;
    http_send_rewind(call);
    loop_defer(client->loop, &call->begin);
    return call;
}

static void stop_waking(struct http_call *call)
{
    loop_undefer(call->wake.loop, &call->begin);
    loop_clear_timer(call->wake.loop, &call->alarm);
}

void http_call_free(struct http_call *call)
{
    if (call == NULL)
        return;
    stop_waking(call);
    connect_free(call->connect);
    stream_free(call->stream);
    http_proxy_deinit(&call->proxy);
    buf_free(&call->label);
    buf_wipe(&call->url); /* its query may be a signature */
    buf_free(&call->origin);
    buf_free(&call->method);
    buf_wipe(&call->head_out); /* a header or the target may be a secret */
    buf_free(&call->head_in);
    buf_free(&call->answer);
    if (call->in_data != NULL)
        http_idle_give_buffer(call->client, call->in_data);
    free(call);
}

const struct http_head *http_call_head(const struct http_call *call)
{
    return &call->head;
}

struct str http_call_body(const struct http_call *call)
{
    return buf_str(&call->answer);
}

struct http_reply http_call_answer(const struct http_call *call, const char *service,
                                   const char *setting)
{
    return (struct http_reply){.head = &call->head,
                               .body = buf_str(&call->answer),
                               .url = buf_str(&call->url),
                               .proxy = call->is_absolute ? call->proxy.endpoint : NULL,
                               .has_credentials = call->proxy.authorization.len > 0,
                               .service = service,
                               .setting = setting};
}

int64_t http_call_delivered(const struct http_call *call)
{
    int64_t left = call->stream == NULL ? 0 : (int64_t)stream_unacknowledged(call->stream);

    if (call->stream == NULL && call->state != HTTP_CALL_DONE)
        return 0;
    return call->body_sent > left ? call->body_sent - left : 0;
}

static enum io start_call_connect(struct http_call *call, struct err *e)
{
    struct url url;

    if (url_parse(&url, buf_str(&call->url), e) != 0)
        return IO_ERR;
    connect_free(call->connect);
    call->connect =
        connect_new(&call->wake, &url, &call->proxy, true, call->options.deadline_ms, e);
    call->state = HTTP_CALL_CONNECT;
    return call->connect == NULL ? IO_ERR : IO_DONE;
}

/* Returns how long a kept connection may have been idle. A connection that turns out to be closed
 * is replaced, but not when the body cannot be sent again. There are HTTP proxies (tinyproxy) that
 * close after every answer without saying so: through them such a body always gets a new
 * connection. */
static int64_t max_idle_ms(const struct http_call *call)
{
    if (call->options.source == NULL)
        return HTTP_CLIENT_IDLE_MS;
    return call->is_absolute ? 0 : HTTP_CLIENT_SOURCE_IDLE_MS;
}

static enum io start_http_call(struct http_call *call, int64_t now_ms, struct err *e)
{
    call->activity_ms = now_ms;
    call->stream = http_idle_take(call->client, buf_str(&call->origin), now_ms, max_idle_ms(call));
    if (call->stream == NULL)
        return start_call_connect(call, e);
    stream_set_wake(call->stream, &call->wake);
    call->is_reused = true;
    call->state = HTTP_CALL_EXCHANGE;
    return IO_DONE;
}

static enum io finish_call_connect(struct http_call *call, int64_t now_ms, struct err *e)
{
    enum io io = connect_step(call->connect, now_ms, &call->stream, e);

    if (io != IO_DONE)
        return io;
    connect_free(call->connect);
    call->connect = NULL;
    call->activity_ms = now_ms;
    call->state = HTTP_CALL_EXCHANGE;
    return IO_DONE;
}

/* The connection ended before there was an answer; *e has the cause. */
static enum io handle_close(struct http_call *call, struct err *e)
{
    bool is_whole = call->is_sent && call->send_failure.code == ERR_NONE;

    if (call->is_reused && !call->is_retried && !call->has_answer_byte && !call->is_source_used) {
        call->is_retried = true;
        stream_free(call->stream);
        call->stream = NULL;
        http_send_rewind(call);
        return start_call_connect(call, e);
    }
    if (!is_whole && !call->has_answer_byte)
        err_set(e, ERR_NETWORK, "the connection was lost after %lld of %lld bytes of the body",
                (long long)call->body_sent, (long long)body_size(&call->options));
    return IO_ERR;
}

static enum io exchange_request(struct http_call *call, int64_t now_ms, struct err *e)
{
    enum io out, in;
    bool was_held;

    do {
        was_held = call->is_held;
        out = http_send_step(call, now_ms, e);
        if (out == IO_ERR)
            return IO_ERR;
        in = http_receive_head(call, now_ms, e);
    } while (in == IO_WANT_READ && was_held && !call->is_held);
    if (in == IO_EOF)
        return handle_close(call, e);
    if (in == IO_DONE) {
        call->state = HTTP_CALL_BODY;
        call->is_source_waiting = false;
    }
    return in == IO_WANT_READ && out == IO_WANT_WRITE ? IO_WANT_WRITE : in;
}

static enum io receive_body(struct http_call *call, int64_t now_ms, struct err *e)
{
    enum io io = http_receive_body(call, now_ms, e);

    if (io != IO_DONE)
        return io;
    if (http_receive_is_clean(call)) {
        http_idle_give(call->client, buf_str(&call->origin), call->stream, now_ms);
        call->stream = NULL;
    }
    call->state = HTTP_CALL_DONE;
    return IO_DONE;
}

/* IO_DONE: go on in the state that is set now. */
static enum io run_call_state(struct http_call *call, int64_t now_ms, struct err *e)
{
    switch (call->state) {
    case HTTP_CALL_START: return start_http_call(call, now_ms, e);
    case HTTP_CALL_CONNECT: return finish_call_connect(call, now_ms, e);
    case HTTP_CALL_EXCHANGE: return exchange_request(call, now_ms, e);
    case HTTP_CALL_BODY: return receive_body(call, now_ms, e);
    case HTTP_CALL_DONE: return IO_DONE;
    case HTTP_CALL_FAILED: break;
    }
    return IO_ERR;
}

static bool is_too_late(const struct http_call *call, int64_t now_ms)
{
    return call->options.deadline_ms != CLOCK_NEVER_MS && now_ms >= call->options.deadline_ms;
}

/* Returns how long the server may be silent now. */
static int64_t silence_limit_ms(const struct http_call *call)
{
    bool has_all = call->state == HTTP_CALL_EXCHANGE && call->is_sent && call->unacknowledged == 0;

    return has_all ? call->options.answer_ms : call->options.stall_ms;
}

static bool is_call_stalled(struct http_call *call, int64_t now_ms)
{
    if (call->state != HTTP_CALL_EXCHANGE && call->state != HTTP_CALL_BODY)
        return false;
    http_send_watch(call, now_ms);
    return now_ms - call->activity_ms >= silence_limit_ms(call);
}

static enum io fail_call(struct http_call *call, struct err *e)
{
    /* Connected to it; an earlier failure names it already. */
    if (!call->is_own_failure && call->is_absolute && call->stream != NULL)
        err_wrap(&call->failure, "HTTP proxy %s", call->proxy.endpoint);
    if (!call->is_own_failure)
        err_wrap(&call->failure, "%s", call->label.data);
    call->state = HTTP_CALL_FAILED;
    connect_free(call->connect);
    call->connect = NULL;
    stream_free(call->stream);
    call->stream = NULL;
    return err_copy(e, &call->failure), IO_ERR;
}

/* The head is sent, and the server has to answer whether it wants the body. */
static bool awaits_word(const struct http_call *call)
{
    return call->state == HTTP_CALL_EXCHANGE && call->is_held &&
           call->body_due_ms != CLOCK_NEVER_MS;
}

/* Returns when a step is due though the connection has nothing new. */
static int64_t next_step_ms(const struct http_call *call, int64_t now_ms)
{
    int64_t at_ms = call->options.deadline_ms;

    if (call->state == HTTP_CALL_CONNECT)
        return at_ms;
    if (awaits_word(call))
        at_ms = clock_earlier(at_ms, call->body_due_ms);
    if (call->state == HTTP_CALL_EXCHANGE && call->unacknowledged > 0)
        at_ms = clock_earlier(at_ms, now_ms + HTTP_CALL_WATCH_MS);
    return call->is_source_waiting
               ? at_ms
               : clock_earlier(at_ms, call->activity_ms + silence_limit_ms(call));
}

static enum io step_call(struct http_call *call, int64_t now_ms, struct err *e)
{
    enum io io;

    do
        io = run_call_state(call, now_ms, &call->failure);
    while (io == IO_DONE && call->state != HTTP_CALL_DONE);
    if (io == IO_DONE)
        return IO_DONE;
    if (io == IO_ERR && call->state == HTTP_CALL_CONNECT && is_too_late(call, now_ms))
        err_from(&call->failure, ERR_TIMEOUT, &call->failure);
    if (io != IO_ERR && is_too_late(call, now_ms)) {
        err_set(&call->failure, ERR_TIMEOUT, "not finished within %lld s",
                (long long)(call->options.deadline_ms - call->begun_ms + 999) / 1000);
        io = IO_ERR;
    } else if (io != IO_ERR && is_call_stalled(call, now_ms)) {
        err_set(&call->failure, ERR_NETWORK, "stalled: no byte for %lld s",
                (long long)silence_limit_ms(call) / 1000);
        io = IO_ERR;
    }
    return io == IO_ERR ? fail_call(call, e) : io;
}

enum io http_call_step(struct http_call *call, int64_t now_ms, struct err *e)
{
    enum io io;

    if (call->state == HTTP_CALL_FAILED)
        return err_copy(e, &call->failure), IO_ERR;
    loop_undefer(call->wake.loop, &call->begin);
    io = step_call(call, now_ms, e);
    if (io == IO_DONE || io == IO_ERR)
        stop_waking(call);
    else
        loop_set_timer(call->wake.loop, &call->alarm, next_step_ms(call, now_ms));
    return io;
}
