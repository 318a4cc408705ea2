#include "http/ws_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "http/connect.h"
#include "http/http_answer.h"
#include "net/stream.h"
#include "proto/http_head.h"
#include "proto/url.h"

enum { WS_READ_BYTES = 65536, MASK_STOCK = 64 };

enum ws_state {
    WS_STATE_CONNECT,
    WS_STATE_HANDSHAKE,
    WS_STATE_OPEN,
    WS_STATE_CLOSING, /* our close frame is queued or sent */
    WS_STATE_CLOSED,
    WS_STATE_FAILED
};

struct ws_client {
    struct ws_client_options options;
    enum ws_state state;
    bool is_marked;
    struct buf label, url;
    char key[WS_KEY_SIZE];
    int64_t connect_deadline_ms, heard_ms, next_ping_ms, close_deadline_ms;
    struct loop_call turn; /* the first step, or one that is due without the connection */
    struct loop_timer alarm;
    struct connect *connect;
    struct stream *stream;
    struct err failure;

    struct buf out; /* from out_sent on it waits for the socket */
    size_t out_sent;
    unsigned char masks[MASK_STOCK][4];
    size_t masks_left;

    struct http_head_parser parser;
    struct ws_reader reader;
    char in[WS_READ_BYTES]; /* [in_start, in_end) is read and not used */
    size_t in_start, in_end;

    unsigned close_code;
    struct buf close_reason;
};

static int check_url(const struct url *url, struct err *e)
{
    if (url->userinfo.len > 0)
        return err_set(e, ERR_USAGE, "a URL of %.*s has a user name: want one without",
                       STR_ARG(str_cut(url->host, 100)));
    return 0;
}

static int build(struct ws_client *c, const struct url *url, struct err *e)
{
    unsigned char random[16];
    struct buf host = {0}, target = {0};
    int result = -1;

    random_bytes(random, sizeof random);
    ws_frame_make_key(random, c->key);
    url_put_label(&c->label, url);
    buf_cstr(&c->label); /* for its NUL */
    url_put_host(&host, url);
    buf_put(&c->url, url->text);
    url_put_target(&target, url);
    ws_frame_put_request(&c->out, buf_str(&host), buf_str(&target), c->key);
    if (host.failed || target.failed || c->url.failed || c->label.failed || c->out.failed)
        err_set(e, ERR_FAILED, "out of memory");
    else
        result = 0;
    buf_free(&host);
    buf_free(&target);
    return result;
}

static int start_connect(struct ws_client *c, const struct url *url, struct err *e)
{
    struct http_proxy proxy;

    if (http_proxy_find(&proxy, url, e) != 0)
        return -1;
    c->connect = connect_new(&c->options.wake, url, &proxy, false, c->connect_deadline_ms, e);
    http_proxy_deinit(&proxy);
    return c->connect == NULL ? -1 : 0;
}

struct ws_client *ws_client_new(const struct ws_client_options *options, int64_t now_ms,
                                struct err *e)
{
    struct url url;
    struct ws_client *c;

    if (url_parse(&url, options->url, e) != 0 || check_url(&url, e) != 0)
        return NULL;
    c = calloc(1, sizeof *c);
    if (c == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    c->options = *options;
    c->options.url = STR("");
    c->turn = (struct loop_call){.call = options->wake.call, .owner = options->wake.owner};
    c->alarm = (struct loop_timer){.call = options->wake.call, .owner = options->wake.owner};
    if (c->options.max_message_bytes == 0)
        c->options.max_message_bytes = WS_MAX_MESSAGE_BYTES;
    ws_reader_init(&c->reader, WS_CLIENT, c->options.max_message_bytes);
    c->close_code = WS_CLOSE_ABNORMAL;
    c->connect_deadline_ms = now_ms + options->connect_ms;
    if (build(c, &url, e) == 0 && start_connect(c, &url, e) == 0)
        return c;
    ws_client_free(c);
    return NULL;
}

static void stop_waking(struct ws_client *c)
{
    loop_undefer(c->options.wake.loop, &c->turn);
    loop_clear_timer(c->options.wake.loop, &c->alarm);
}

void ws_client_free(struct ws_client *c)
{
    if (c == NULL)
        return;
    stop_waking(c);
    connect_free(c->connect);
    stream_free(c->stream);
    ws_reader_deinit(&c->reader);
    buf_free(&c->label);
    buf_wipe(&c->url);
    buf_wipe(&c->out);
    buf_free(&c->close_reason);
    free(c);
}

bool ws_client_is_marked(const struct ws_client *c)
{
    return c->is_marked;
}

size_t ws_client_queued(const struct ws_client *c)
{
    return c->out.len - c->out_sent;
}

unsigned ws_client_close_code(const struct ws_client *c)
{
    return c->close_code;
}

struct str ws_client_close_reason(const struct ws_client *c)
{
    return buf_str(&c->close_reason);
}

void ws_client_yield(struct ws_client *c)
{
    loop_defer(c->options.wake.loop, &c->turn);
}

/* ---- out ---- */

/* Masks are drawn in stock: a system call for each would cost more than the frame. */
static const unsigned char *next_mask(struct ws_client *c)
{
    if (c->masks_left == 0) {
        random_bytes(c->masks, sizeof c->masks);
        c->masks_left = MASK_STOCK;
    }
    return c->masks[--c->masks_left];
}

static void put_frame(struct ws_client *c, enum ws_opcode opcode, struct str payload)
{
    ws_frame_put(&c->out, opcode, payload, next_mask(c));
}

static void put_close(struct ws_client *c, unsigned code, struct str reason)
{
    ws_frame_put_close(&c->out, code, reason, next_mask(c));
}

int ws_client_send(struct ws_client *c, struct str text, struct err *e)
{
    if (c->state != WS_STATE_OPEN)
        return err_set(e, ERR_FAILED, "%s: the connection is not open", c->label.data);
    if (text.len > WS_CLIENT_MAX_QUEUED_BYTES - WS_MAX_HEAD_BYTES ||
        ws_client_queued(c) + text.len + WS_MAX_HEAD_BYTES > WS_CLIENT_MAX_QUEUED_BYTES)
        return err_set(e, ERR_TOO_LARGE, "%s: the peer reads too slowly: %zu bytes wait",
                       c->label.data, ws_client_queued(c));
    if (!buf_reserve(&c->out, text.len + WS_MAX_HEAD_BYTES)) {
        c->out.failed = false; /* nothing was appended: what is queued is whole */
        return err_set(e, ERR_FAILED, "out of memory");
    }
    put_frame(c, WS_TEXT, text);
    ws_client_yield(c);
    return 0;
}

void ws_client_close(struct ws_client *c, unsigned code, struct str reason)
{
    ws_client_yield(c);
    if (c->state < WS_STATE_OPEN) {
        c->state = WS_STATE_CLOSED;
        return;
    }
    if (c->state != WS_STATE_OPEN)
        return;
    put_close(c, code, reason);
    c->state = WS_STATE_CLOSING;
    c->close_deadline_ms = clock_now_ms() + WS_CLIENT_CLOSE_MS;
}

/* Sends what is queued. IO_DONE: all of it; IO_WANT_WRITE; IO_ERR. */
static enum io flush(struct ws_client *c, struct err *e)
{
    size_t n;

    while (c->out_sent < c->out.len) {
        struct str rest = str_slice(buf_str(&c->out), c->out_sent, SIZE_MAX);
        enum io io = stream_write(c->stream, rest, &n, e);
        if (io != IO_DONE) {
            /* What was sent goes when it is most of it, so that moving costs little. */
            if (c->out_sent > c->out.len / 2) {
                buf_consume(&c->out, c->out_sent);
                c->out_sent = 0;
            }
            return io;
        }
        c->out_sent += n;
    }
    buf_clear(&c->out);
    c->out_sent = 0;
    return IO_DONE;
}

/* ---- in ---- */

static struct str unread(const struct ws_client *c)
{
    return (struct str){c->in + c->in_start, c->in_end - c->in_start};
}

static enum io fill(struct ws_client *c, int64_t now_ms, struct err *e)
{
    size_t n;

    if (c->in_start > 0) {
        memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
        c->in_end -= c->in_start;
        c->in_start = 0;
    }
    enum io io = stream_read(c->stream, c->in + c->in_end, sizeof c->in - c->in_end, &n, e);
    if (io == IO_DONE) {
        c->in_end += n;
        c->heard_ms = now_ms;
    }
    return io;
}

static enum io take_close(struct ws_client *c, const struct ws_event *event)
{
    c->close_code = event->close_code;
    buf_clear(&c->close_reason);
    buf_put(&c->close_reason, event->payload);
    if (c->state == WS_STATE_OPEN)
        put_close(c, event->close_code, STR(""));
    flush(c, NULL); /* our answer, as far as it goes */
    c->state = WS_STATE_CLOSED;
    return IO_EOF;
}

/* One event of the peer. IO_DONE: a message; IO_WANT_READ: go on; IO_EOF; IO_ERR. */
static enum io take_event(struct ws_client *c, const struct ws_event *event, struct str *message,
                          struct err *e)
{
    switch (event->opcode) {
    case WS_TEXT:
    case WS_BINARY:
        *message = event->payload;
        return c->state == WS_STATE_OPEN ? IO_DONE : IO_WANT_READ;
    case WS_PING:
        if (ws_client_queued(c) > WS_CLIENT_MAX_QUEUED_BYTES) {
            err_set(e, ERR_NETWORK, "the peer sends pings and does not read");
            return IO_ERR;
        }
        if (c->state == WS_STATE_OPEN)
            put_frame(c, WS_PONG, event->payload);
        return IO_WANT_READ;
    case WS_CLOSE: return take_close(c, event);
    default: return IO_WANT_READ;
    }
}

/* Uses what was read. IO_DONE: a message; IO_WANT_READ: all is used; IO_EOF; IO_ERR. */
static enum io use(struct ws_client *c, struct str *message, struct err *e)
{
    struct ws_event event;
    unsigned code = WS_CLOSE_PROTOCOL;
    size_t used;

    for (;;) {
        enum io io = ws_frame_read(&c->reader, unread(c), &used, &event, &code, e);
        c->in_start += used;
        if (io == IO_WANT_READ)
            return io;
        if (io == IO_DONE)
            io = take_event(c, &event, message, e);
        else if (c->state == WS_STATE_OPEN) {
            put_close(c, code, STR(""));
            flush(c, NULL); /* tells the peer why, as far as it goes */
            stream_end(c->stream);
        }
        if (io != IO_WANT_READ)
            return io;
    }
}

/* Before each read what is queued goes out. A failed write is told when there is nothing left to
 * read: the peer's close frame may say why. */
static enum io exchange(struct ws_client *c, int64_t now_ms, struct str *message, struct err *e)
{
    struct err failure;

    for (;;) {
        enum io in = use(c, message, e), out;
        if (in != IO_WANT_READ)
            return in;
        out = flush(c, &failure);
        in = fill(c, now_ms, e);
        if (in == IO_EOF)
            c->state = WS_STATE_CLOSED;
        if (in == IO_WANT_READ && out == IO_ERR)
            return err_set(e, failure.code, "%s", failure.msg), IO_ERR;
        if (in != IO_DONE)
            return in == IO_WANT_READ && out == IO_WANT_WRITE ? out : in;
    }
}

/* ---- states ---- */

static enum io connect_up(struct ws_client *c, int64_t now_ms, struct err *e)
{
    enum io io = connect_step(c->connect, now_ms, &c->stream, e);

    if (io == IO_ERR && now_ms >= c->connect_deadline_ms)
        e->code = ERR_TIMEOUT;
    if (io != IO_DONE)
        return io;
    connect_free(c->connect);
    c->connect = NULL;
    c->state = WS_STATE_HANDSHAKE;
    return IO_DONE;
}

/* The answer is none of a WebSocket's: whose is it? What came of its body comes with the head. */
static enum io refuse(const struct ws_client *c, const struct http_head *head, struct err *e)
{
    const struct http_reply answer = {.head = head,
                                      .body = str_slice(unread(c), head->size, SIZE_MAX),
                                      .url = buf_str(&c->url),
                                      .service = "resource proxy",
                                      .setting = "the URL (proxyUrl)"};

    if (head->status != 101 && http_answer_explain(&answer, e))
        err_wrap(e, "WebSocket refused");
    return IO_ERR;
}

static enum io take_head(struct ws_client *c, int64_t now_ms, struct err *e)
{
    struct http_head head;
    int status;
    enum io io =
        http_head_parse(&c->parser, HTTP_RESPONSE, unread(c), STR("GET"), &head, &status, e);

    if (io == IO_ERR && stream_tls(c->stream) == NULL && http_answer_is_tls_record(unread(c)))
        err_set(e, ERR_PROTOCOL, "the server answers in TLS: use wss:// (https://) for this port");
    if (io != IO_DONE)
        return io;
    if (ws_frame_check_response(&head, c->key, e) != 0)
        return refuse(c, &head, e);
    c->is_marked = c->options.mark != NULL && http_head_get(&head, c->options.mark) != NULL;
    c->in_start += head.size;
    c->state = WS_STATE_OPEN;
    c->heard_ms = now_ms;
    c->next_ping_ms = now_ms + c->options.ping_interval_ms;
    return IO_DONE;
}

static enum io handshake(struct ws_client *c, int64_t now_ms, struct err *e)
{
    enum io in, out = IO_DONE;

    do {
        out = flush(c, e);
        if (out == IO_ERR)
            return out;
        in = fill(c, now_ms, e);
        if (in == IO_EOF)
            return err_set(e, ERR_NETWORK, "closed in the WebSocket handshake%s",
                           c->in_end == 0 && stream_tls(c->stream) == NULL
                               ? " (is this a TLS port? then use wss:// or https://)"
                               : ""),
                   IO_ERR;
        if (in != IO_DONE)
            break;
        in = take_head(c, now_ms, e);
        if (in == IO_DONE)
            return in;
    } while (in == IO_WANT_READ);
    if (in != IO_ERR && now_ms >= c->connect_deadline_ms) {
        err_set(e, ERR_TIMEOUT, "no answer to the WebSocket handshake within %lld s",
                (long long)(c->options.connect_ms + 999) / 1000);
        return IO_ERR;
    }
    return in == IO_WANT_READ && out == IO_WANT_WRITE ? out : in;
}

static bool is_dead(const struct ws_client *c, int64_t now_ms)
{
    return c->options.dead_after_ms > 0 && now_ms - c->heard_ms >= c->options.dead_after_ms;
}

static enum io talk(struct ws_client *c, int64_t now_ms, struct str *message, struct err *e)
{
    /* Behind a queue that does not move a ping would say nothing. */
    if (c->options.ping_interval_ms > 0 && now_ms >= c->next_ping_ms) {
        c->next_ping_ms = now_ms + c->options.ping_interval_ms;
        if (ws_client_queued(c) == 0)
            put_frame(c, WS_PING, STR(""));
    }
    enum io io = exchange(c, now_ms, message, e);
    if ((io == IO_WANT_READ || io == IO_WANT_WRITE) && is_dead(c, now_ms)) {
        err_set(e, ERR_NETWORK, "dead: not a byte for %lld s",
                (long long)c->options.dead_after_ms / 1000);
        return IO_ERR;
    }
    return io;
}

/* Whatever ends the connection now is the end that was wanted. */
static enum io say_goodbye(struct ws_client *c, int64_t now_ms, struct str *message, struct err *e)
{
    enum io io = exchange(c, now_ms, message, e);

    if (io == IO_ERR || (io != IO_EOF && now_ms >= c->close_deadline_ms)) {
        c->state = WS_STATE_CLOSED;
        return IO_EOF;
    }
    return io;
}

static enum io run_state(struct ws_client *c, int64_t now_ms, enum ws_client_event *event,
                         struct str *message, struct err *e)
{
    enum io io;

    *event = WS_CLIENT_MESSAGE;
    switch (c->state) {
    case WS_STATE_CONNECT:
        io = connect_up(c, now_ms, e);
        if (io != IO_DONE)
            return io;
        /* fall through */
    case WS_STATE_HANDSHAKE: *event = WS_CLIENT_OPENED; return handshake(c, now_ms, e);
    case WS_STATE_OPEN: return talk(c, now_ms, message, e);
    case WS_STATE_CLOSING: return say_goodbye(c, now_ms, message, e);
    case WS_STATE_CLOSED:
    case WS_STATE_FAILED: break;
    }
    return IO_EOF;
}

/* When a step is due though the connection has nothing new. */
static int64_t next_step_ms(const struct ws_client *c)
{
    const struct ws_client_options *o = &c->options;
    int64_t at_ms = CLOCK_NEVER_MS;

    switch (c->state) {
    case WS_STATE_HANDSHAKE: return c->connect_deadline_ms;
    case WS_STATE_OPEN:
        if (o->ping_interval_ms > 0)
            at_ms = c->next_ping_ms;
        return o->dead_after_ms > 0 ? clock_earlier(at_ms, c->heard_ms + o->dead_after_ms) : at_ms;
    case WS_STATE_CLOSING: return c->close_deadline_ms;
    case WS_STATE_CONNECT: /* it has its own deadline */
    case WS_STATE_CLOSED:
    case WS_STATE_FAILED: break;
    }
    return at_ms;
}

static enum io fail(struct ws_client *c, struct err *e)
{
    if (c->state != WS_STATE_FAILED) {
        err_wrap(&c->failure, "%s", c->label.data);
        c->state = WS_STATE_FAILED;
        connect_free(c->connect);
        c->connect = NULL;
    }
    err_set(e, c->failure.code, "%s", c->failure.msg);
    return IO_ERR;
}

enum io ws_client_step(struct ws_client *c, int64_t now_ms, enum ws_client_event *event,
                       struct str *message, struct err *e)
{
    enum io io = IO_ERR;

    if (c->state != WS_STATE_FAILED)
        io = run_state(c, now_ms, event, message, &c->failure);
    if (io == IO_DONE)
        return io;
    stop_waking(c);
    if (io == IO_ERR)
        return fail(c, e);
    if (io != IO_EOF)
        loop_set_timer(c->options.wake.loop, &c->alarm, next_step_ms(c));
    return io;
}
