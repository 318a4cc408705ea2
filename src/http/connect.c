#include "http/connect.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/version.h"
#include "http/http_answer.h"
#include "net/dial.h"
#include "proto/http_head.h"

enum { MAX_TRIES = 2 /* further ones */ };

enum connect_state { CONNECT_DIAL, CONNECT_TUNNEL, CONNECT_SHAKE };

struct connect {
    struct loop_wake wake;
    struct loop_timer alarm;
    enum connect_state state;
    struct buf host; /* of the URL */
    uint16_t port;
    char endpoint[ADDR_MAX_ENDPOINT]; /* both */
    bool is_tls, is_tunnelled, offers_sha1_cbc;
    int tries;
    struct http_proxy proxy;
    const struct trust *trust;
    int64_t begun_ms, deadline_ms;
    struct dial dial;
    struct stream *stream;
    struct buf request; /* CONNECT, from `sent` on it waits for the socket */
    size_t sent;
    struct http_head_parser parser;
    struct buf answer;
};

static int start_dial(struct connect *c, struct err *e)
{
    struct str host = c->proxy.is_used ? str_of(c->proxy.host) : buf_str(&c->host);
    uint16_t port = c->proxy.is_used ? c->proxy.port : c->port;

    c->state = CONNECT_DIAL;
    return dial_start(&c->dial, &c->wake, host, port,
                      clock_earlier(c->deadline_ms, clock_now_ms() + DIAL_TIMEOUT_MS), e);
}

/* RFC 9110 §9.3.6. */
static void put_connect_request(struct connect *c)
{
    http_head_put_request(&c->request, STR("CONNECT"), str_of(c->endpoint));
    http_head_put_header(&c->request, "Host", str_of(c->endpoint));
    http_head_put_header(&c->request, "User-Agent", STR("kachery-resource/" VERSION));
    if (c->proxy.authorization.len > 0)
        http_head_put_header(&c->request, "Proxy-Authorization", buf_str(&c->proxy.authorization));
    http_head_put_end(&c->request);
}

struct connect *connect_new(const struct loop_wake *wake, const struct url *url,
                            const struct http_proxy *proxy, bool for_requests, int64_t deadline_ms,
                            struct err *e)
{
    struct connect *c = calloc(1, sizeof *c);

    if (c == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    c->wake = *wake;
    c->alarm = (struct loop_timer){.call = wake->call, .owner = wake->owner};
    c->begun_ms = clock_now_ms();
    c->deadline_ms = clock_earlier(deadline_ms, c->begun_ms + CONNECT_TIMEOUT_MS);
    c->port = url->port;
    c->is_tls = url_is_tls(url);
    c->is_tunnelled = proxy->is_used && (c->is_tls || !for_requests);
    buf_put(&c->host, url->host);
    addr_format_endpoint(url->host, url->port, c->endpoint);
    c->proxy = *proxy;
    c->proxy.authorization = (struct buf){0};
    buf_put_buf(&c->proxy.authorization, &proxy->authorization);
    if (c->is_tunnelled)
        put_connect_request(c);
    if (c->host.failed || c->proxy.authorization.failed || c->request.failed)
        err_set(e, ERR_FAILED, "out of memory");
    else if ((!c->is_tls || (c->trust = trust_of_process(e)) != NULL) && start_dial(c, e) == 0)
        return c;
    connect_free(c);
    return NULL;
}

void connect_free(struct connect *c)
{
    if (c == NULL)
        return;
    loop_clear_timer(c->wake.loop, &c->alarm);
    dial_cancel(&c->dial);
    stream_free(c->stream);
    buf_free(&c->host);
    http_proxy_deinit(&c->proxy);
    buf_wipe(&c->request);
    buf_free(&c->answer);
    free(c);
}

static int start_tls(struct connect *c, struct err *e)
{
    const struct tls_options options = {.host = buf_str(&c->host),
                                        .port = c->port,
                                        .trust = c->trust,
                                        .now_s = clock_wall_ms() / 1000,
                                        .offers_sha1_cbc = c->offers_sha1_cbc};

    c->state = CONNECT_SHAKE;
    return c->is_tls ? stream_start_tls(c->stream, options, e) : 0;
}

static enum io step_connect_dial(struct connect *c, int64_t now_ms, struct err *e)
{
    int fd;
    enum io io = dial_step(&c->dial, now_ms, &fd, e);

    if (io == IO_ERR && c->proxy.is_used)
        err_wrap(e, "HTTP proxy");
    if (io != IO_DONE)
        return io;
    c->stream = stream_new(fd, &c->wake);
    if (c->stream == NULL)
        return err_set(e, ERR_FAILED, "out of memory"), IO_ERR;
    if (c->is_tunnelled) {
        c->state = CONNECT_TUNNEL;
        c->sent = 0;
        buf_clear(&c->answer);
        c->parser = (struct http_head_parser){0};
        return IO_DONE;
    }
    return start_tls(c, e) == 0 ? IO_DONE : IO_ERR;
}

/* The error has the status line and the page's words, so that the user sees who refused, and
 * why. */
static enum io refuse_tunnel(const struct connect *c, const struct http_head *head, struct err *e)
{
    struct str page = str_slice(buf_str(&c->answer), head->size, SIZE_MAX);
    bool is_led_away = http_head_redirection(head) != NULL || head->status == 511;
    struct buf words = {0};

    if (head->framing == HTTP_BODY_CHUNKED) /* its first line is the chunk's size */
        page = str_slice(page, str_find(page, '\n') + 1, page.len);
    http_answer_put_words(&words, head, page);
    err_set(e, head->status >= 500 && head->status != 501 ? ERR_NETWORK : ERR_REFUSED,
            "HTTP proxy %s refuses a connection to %s: %d %.*s%s%s%s%s", c->proxy.endpoint,
            c->endpoint, head->status, STR_ARG(http_answer_reason(head)), words.len > 0 ? ": " : "",
            buf_cstr(&words), http_answer_proxy_cure(head->status, c->proxy.authorization.len > 0),
            is_led_away ? ": " HTTP_ANSWER_LOG_IN : "");
    buf_free(&words);
    return IO_ERR;
}

/* No server behind the proxy has had a word to answer yet. */
static enum io refuse_early_data(const struct connect *c, const struct http_head *head,
                                 struct err *e)
{
    const struct http_reply answer = {
        .head = head, .body = str_slice(buf_str(&c->answer), head->size, SIZE_MAX)};

    err_set(e, ERR_PROTOCOL, "HTTP proxy %s sends data of its own%s", c->proxy.endpoint,
            http_answer_is_page(&answer) ? ": " HTTP_ANSWER_LOG_IN : "");
    return IO_ERR;
}

static enum io read_tunnel_answer(struct connect *c, struct err *e)
{
    struct http_head head;
    size_t n;
    int status;

    for (;;) {
        enum io io = http_head_parse(&c->parser, HTTP_RESPONSE, buf_str(&c->answer), STR("CONNECT"),
                                     &head, &status, e);
        if (io == IO_ERR)
            return err_wrap(e, "HTTP proxy %s", c->proxy.endpoint), IO_ERR;
        if (io == IO_DONE && head.status / 100 != 1) {
            if (head.status / 100 != 2)
                return refuse_tunnel(c, &head, e);
            if (c->answer.len > head.size)
                return refuse_early_data(c, &head, e);
            return start_tls(c, e) == 0 ? IO_DONE : IO_ERR;
        }
        if (io == IO_DONE) { /* 1xx: the final answer follows */
            buf_consume(&c->answer, head.size);
            c->parser = (struct http_head_parser){0};
            continue;
        }
        if (c->answer.len >= CONNECT_MAX_ANSWER || !buf_reserve(&c->answer, CONNECT_MAX_ANSWER))
            return err_set(e, ERR_TOO_LARGE, "HTTP proxy %s answers too much", c->proxy.endpoint),
                   IO_ERR;
        io = stream_read(c->stream, c->answer.data + c->answer.len,
                         CONNECT_MAX_ANSWER - c->answer.len, &n, e);
        if (io == IO_EOF)
            return err_set(e, ERR_NETWORK, "HTTP proxy %s hung up", c->proxy.endpoint), IO_ERR;
        if (io != IO_DONE)
            return io;
        c->answer.len += n;
    }
}

static enum io step_tunnel(struct connect *c, struct err *e)
{
    while (c->sent < c->request.len) {
        size_t n;
        struct str rest = str_slice(buf_str(&c->request), c->sent, SIZE_MAX);
        enum io io = stream_write(c->stream, rest, &n, e);
        if (io != IO_DONE)
            return io;
        c->sent += n;
    }
    return read_tunnel_answer(c, e);
}

/* IO_DONE when it is open; `state` is CONNECT_DIAL again when another try was begun. */
static enum io step_shake(struct connect *c, struct err *e)
{
    enum io io = stream_handshake(c->stream, e);
    const struct tls *tls = stream_tls(c->stream);

    if (io != IO_ERR || tls == NULL || c->tries == MAX_TRIES)
        return io;
    if (!c->offers_sha1_cbc && tls_wants_older_suites(tls))
        c->offers_sha1_cbc = true;
    else if (!tls_refused_session(tls))
        return io;
    c->tries++;
    stream_free(c->stream);
    c->stream = NULL;
    return start_dial(c, e) == 0 ? IO_DONE : IO_ERR;
}

/* Too late: who is silent? */
static enum io fail_too_late(const struct connect *c, struct err *e)
{
    long long seconds = (long long)(c->deadline_ms - c->begun_ms + 999) / 1000;

    if (c->state == CONNECT_TUNNEL)
        err_set(e, ERR_NETWORK, "HTTP proxy %s: no answer within %lld s", c->proxy.endpoint,
                seconds);
    else
        err_set(e, ERR_NETWORK, "TLS handshake stalled: no answer within %lld s", seconds);
    return IO_ERR;
}

enum io connect_step(struct connect *c, int64_t now_ms, struct stream **stream, struct err *e)
{
    enum io io = IO_DONE;

    while (io == IO_DONE) {
        enum connect_state before = c->state;
        io = before == CONNECT_DIAL     ? step_connect_dial(c, now_ms, e)
             : before == CONNECT_TUNNEL ? step_tunnel(c, e)
                                        : step_shake(c, e);
        if (io == IO_DONE && before == CONNECT_SHAKE && c->state == CONNECT_SHAKE) {
            *stream = c->stream;
            c->stream = NULL;
            return IO_DONE;
        }
    }
    if (io == IO_ERR || c->state == CONNECT_DIAL)
        return io;
    if (now_ms >= c->deadline_ms)
        return fail_too_late(c, e);
    loop_set_timer(c->wake.loop, &c->alarm, c->deadline_ms);
    return io;
}
