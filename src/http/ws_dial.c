#include "http/ws_dial.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "http/connect.h"
#include "http/http_answer.h"
#include "proto/http_head.h"
#include "proto/url.h"
#include "proto/ws_frame.h"

enum { READ_BYTES = 16384 };

struct ws_dial {
    struct ws_dial_options options;
    struct loop_timer alarm;
    bool is_marked;
    int64_t retry_after_ms;
    struct buf label, url;
    char key[WS_KEY_SIZE];
    int64_t deadline_ms;
    struct connect *connect; /* until it is connected */
    struct stream *stream;
    struct buf out; /* the request, from out_sent on it waits for the stream */
    size_t out_sent;
    struct http_head_parser parser;
    struct buf in;
};

static int check_ws_url(const struct url *url, struct err *e)
{
    if (url->userinfo.len > 0)
        return err_set(e, ERR_USAGE, "a URL of %.*s has a user name: want one without",
                       STR_ARG(str_cut(url->host, 100)));
    return 0;
}

static int build_handshake(struct ws_dial *d, const struct url *url, struct err *e)
{
    unsigned char random[16];
    struct buf host = {0}, target = {0};
    int result = -1;

    random_bytes(random, sizeof random);
    ws_frame_make_key(random, d->key);
    url_put_label(&d->label, url);
    buf_cstr(&d->label); /* for its NUL */
    url_put_host(&host, url);
    buf_put(&d->url, url->text);
    url_put_target(&target, url);
    ws_frame_put_request(&d->out, buf_str(&host), buf_str(&target), d->key,
                         d->options.more);
    d->options.more = NULL;
    if (host.failed || target.failed || d->url.failed || d->label.failed || d->out.failed)
        err_set(e, ERR_FAILED, "out of memory");
    else
        result = 0;
    buf_free(&host);
    buf_free(&target);
    return result;
}

static int start_ws_connect(struct ws_dial *d, const struct url *url, struct err *e)
{
    struct http_proxy proxy;

    if (http_proxy_find(&proxy, url, e) != 0)
        return -1;
    d->connect = connect_new(&d->options.wake, url, &proxy, false, d->deadline_ms, e);
    http_proxy_deinit(&proxy);
    return d->connect == NULL ? -1 : 0;
}

struct ws_dial *ws_dial_new(const struct ws_dial_options *options, int64_t now_ms, struct err *e)
{
    struct url url;
    struct ws_dial *d;

    if (url_parse(&url, options->url, e) != 0 || check_ws_url(&url, e) != 0)
        return NULL;
    d = calloc(1, sizeof *d);
    if (d == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    d->options = *options;
    d->options.url = STR("");
    d->alarm = (struct loop_timer){.call = options->wake.call, .owner = options->wake.owner};
    d->deadline_ms = now_ms + options->patience_ms;
    d->retry_after_ms = -1;
    if (build_handshake(d, &url, e) == 0 && start_ws_connect(d, &url, e) == 0)
        return d;
    ws_dial_free(d);
    return NULL;
}

void ws_dial_free(struct ws_dial *d)
{
    if (d == NULL)
        return;
    loop_clear_timer(d->options.wake.loop, &d->alarm);
    connect_free(d->connect);
    stream_free(d->stream);
    buf_free(&d->label);
    buf_wipe(&d->url);
    buf_wipe(&d->out);
    buf_free(&d->in);
    free(d);
}

bool ws_dial_is_marked(const struct ws_dial *d)
{
    return d->is_marked;
}

int64_t ws_dial_retry_after_ms(const struct ws_dial *d)
{
    return d->retry_after_ms;
}

const char *ws_dial_label(const struct ws_dial *d)
{
    return d->label.data;
}

static enum io send_request(struct ws_dial *d, struct err *e)
{
    size_t n;

    while (d->out_sent < d->out.len) {
        struct str rest = str_slice(buf_str(&d->out), d->out_sent, SIZE_MAX);
        enum io io = stream_write(d->stream, rest, &n, e);
        if (io != IO_DONE)
            return io;
        d->out_sent += n;
    }
    return IO_DONE;
}

static enum io receive_handshake(struct ws_dial *d, struct err *e)
{
    size_t n;

    if (!buf_reserve(&d->in, READ_BYTES)) {
        err_set(e, ERR_FAILED, "out of memory");
        return IO_ERR;
    }
    enum io io = stream_read(d->stream, d->in.data + d->in.len, READ_BYTES, &n, e);
    if (io == IO_DONE)
        d->in.len += n;
    if (io != IO_EOF)
        return io;
    err_set(e, ERR_NETWORK, "closed in the WebSocket handshake%s",
            d->in.len == 0 && stream_tls(d->stream) == NULL
                ? " (is this a TLS port? then use wss:// or https://)"
                : "");
    return IO_ERR;
}

/* The answer is none of a WebSocket's: whose is it? Some of its body may have come with it. */
static enum io refuse_answer(const struct ws_dial *d, const struct http_head *head, struct err *e)
{
    const struct http_reply answer = {.head = head,
                                      .body = str_slice(buf_str(&d->in), head->size, SIZE_MAX),
                                      .url = buf_str(&d->url),
                                      .service = "resource proxy",
                                      .setting = "the URL (proxyUrl)"};

    if (head->status != 101 && http_answer_explain(&answer, e))
        err_wrap(e, "WebSocket refused");
    return IO_ERR;
}

static enum io take_handshake_head(struct ws_dial *d, struct err *e)
{
    struct http_head head;
    int status;
    enum io io =
        http_head_parse(&d->parser, HTTP_RESPONSE, buf_str(&d->in), STR("GET"), &head, &status, e);

    if (io == IO_ERR && stream_tls(d->stream) == NULL && http_answer_is_tls_record(buf_str(&d->in)))
        err_set(e, ERR_PROTOCOL, "the server answers in TLS: use wss:// (https://) for this port");
    if (io != IO_DONE)
        return io;
    if (ws_frame_check_response(&head, d->key, e) != 0) {
        d->retry_after_ms = http_head_retry_after_ms(&head, clock_wall_ms());
        return refuse_answer(d, &head, e);
    }
    d->is_marked = d->options.mark != NULL && http_head_get(&head, d->options.mark) != NULL;
    buf_consume(&d->in, head.size);
    return IO_DONE;
}

static enum io finish_ws_connect(struct ws_dial *d, int64_t now_ms, struct err *e)
{
    struct err why = {0};
    enum io io = connect_step(d->connect, now_ms, &d->stream, &why);

    if (io == IO_ERR)
        err_from(e, now_ms >= d->deadline_ms ? ERR_TIMEOUT : why.code, &why);
    if (io != IO_DONE)
        return io;
    connect_free(d->connect);
    d->connect = NULL;
    return IO_DONE;
}

static enum io shake_hands(struct ws_dial *d, int64_t now_ms, struct err *e)
{
    enum io in, out;

    do {
        out = send_request(d, e);
        in = out == IO_ERR ? IO_ERR : receive_handshake(d, e);
        if (in == IO_DONE) {
            in = take_handshake_head(d, e);
            if (in == IO_DONE)
                return in;
            in = in == IO_WANT_READ ? IO_DONE : in; /* more of the head */
        }
    } while (in == IO_DONE);
    if (in == IO_ERR)
        return in;
    if (now_ms >= d->deadline_ms) {
        err_set(e, ERR_TIMEOUT, "no answer to the WebSocket handshake within %lld s",
                (long long)(d->options.patience_ms + 999) / 1000);
        return IO_ERR;
    }
    loop_set_timer(d->options.wake.loop, &d->alarm, d->deadline_ms);
    return in == IO_WANT_READ && out == IO_WANT_WRITE ? out : in;
}

enum io ws_dial_step(struct ws_dial *d, int64_t now_ms, struct stream **stream, struct buf *early,
                     struct err *e)
{
    enum io io = d->stream == NULL ? finish_ws_connect(d, now_ms, e) : IO_DONE;

    if (io == IO_DONE)
        io = shake_hands(d, now_ms, e);
    if (io == IO_ERR)
        err_wrap(e, "%s", d->label.data);
    if (io != IO_DONE)
        return io;
    loop_clear_timer(d->options.wake.loop, &d->alarm);
    buf_put_buf(early, &d->in);
    *stream = d->stream;
    d->stream = NULL;
    return IO_DONE;
}
