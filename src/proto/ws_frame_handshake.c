/* The opening handshake of RFC 6455 §4. */
#include <string.h>

#include "base/base64.h"
#include "base/sha1.h"
#include "proto/ws_frame.h"

static const char accept_suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

void ws_frame_make_key(const unsigned char random[16], char key[WS_KEY_SIZE])
{
    struct buf text = {0};

    base64_put(&text, (struct str){(const char *)random, 16});
    memset(key, 0, WS_KEY_SIZE);
    if (!text.failed)
        memcpy(key, text.data, WS_KEY_SIZE - 1);
    buf_free(&text);
}

/* Appends what proves that the server read `key` (§4.2.2). */
static void put_accept(struct buf *out, struct str key)
{
    unsigned char hash[SHA1_SIZE];
    struct sha1 h;

    sha1_init(&h);
    sha1_update(&h, key.p, key.len);
    sha1_update(&h, accept_suffix, sizeof accept_suffix - 1);
    sha1_final(&h, hash);
    base64_put(out, (struct str){(const char *)hash, sizeof hash});
}

void ws_frame_put_request(struct buf *out, struct str host, struct str target, const char *key,
                          const struct http_header *more)
{
    http_head_put_request(out, STR("GET"), target);
    http_head_put_header(out, "Host", host);
    http_head_put_header(out, "Upgrade", STR("websocket"));
    http_head_put_header(out, "Connection", STR("Upgrade"));
    http_head_put_header(out, "Sec-WebSocket-Key", str_of(key));
    http_head_put_header(out, "Sec-WebSocket-Version", STR("13"));
    if (more != NULL)
        http_head_put_header(out, more->name.p, more->value);
    http_head_put_end(out);
}

/* ---- client ---- */

static bool is_accepted(const struct http_head *head, const char *key)
{
    const struct str *value = http_head_get(head, "Sec-WebSocket-Accept");
    struct buf wanted = {0};

    put_accept(&wanted, str_of(key));
    bool is_equal = value != NULL && !wanted.failed && str_equal(*value, buf_str(&wanted));
    buf_free(&wanted);
    return is_equal;
}

int ws_frame_check_response(const struct http_head *head, const char *key, struct err *e)
{
    const struct str *location = http_head_redirection(head);
    const char *cause = NULL;

    if (location != NULL)
        return err_set(e, ERR_REFUSED, "WebSocket refused: %d %s to %.*s: correct the URL",
                       head->status, http_head_reason(head->status), STR_ARG(*location));
    if (head->status != 101)
        return err_set(e, ERR_REFUSED, "WebSocket refused: %d %s", head->status,
                       http_head_reason(head->status));
    if (!head->is_upgrade || !http_head_has_token(head, "Upgrade", "websocket"))
        cause = "the server upgrades to something else";
    else if (!is_accepted(head, key))
        cause = "wrong Sec-WebSocket-Accept";
    else if (http_head_get(head, "Sec-WebSocket-Extensions") != NULL)
        cause = "the server uses an extension that was not offered";
    else if (http_head_get(head, "Sec-WebSocket-Protocol") != NULL)
        cause = "the server uses a sub-protocol that was not offered";
    return cause == NULL ? 0 : err_set(e, ERR_PROTOCOL, "WebSocket handshake: %s", cause);
}

/* ---- server ---- */

/* The value of a header that must be there just once. */
static const struct str *get_single(const struct http_head *head, const char *name)
{
    const struct str *value = http_head_get(head, name);

    for (size_t i = 0; i < head->header_count; i++)
        if (&head->headers[i].value != value &&
            str_equal_nocase(head->headers[i].name, str_of(name)))
            return NULL;
    return value;
}

static bool is_key(const struct str *value)
{
    struct buf raw = {0};

    bool is_good = value != NULL && base64_decode(&raw, *value) && raw.len == 16;
    buf_free(&raw);
    return is_good;
}

static int refuse_handshake(int *status, int code, struct err *e, const char *cause)
{
    *status = code;
    return err_set(e, ERR_PROTOCOL, "WebSocket handshake: %s", cause);
}

int ws_frame_check_request(const struct http_head *head, int *status, struct err *e)
{
    const struct str *version = get_single(head, "Sec-WebSocket-Version");

    if (!head->is_upgrade || !http_head_has_token(head, "Upgrade", "websocket"))
        return refuse_handshake(status, 426, e, "no upgrade to websocket asked for");
    if (!str_equal(head->method, STR("GET")))
        return refuse_handshake(status, 400, e, "method is not GET");
    if (head->framing == HTTP_BODY_CHUNKED || head->content_length > 0)
        return refuse_handshake(status, 400, e, "request with a body");
    if (version == NULL || !str_equal(*version, STR("13")))
        return refuse_handshake(status, 426, e, "version is not 13");
    if (!is_key(get_single(head, "Sec-WebSocket-Key")))
        return refuse_handshake(status, 400, e, "Sec-WebSocket-Key is not base64 of 16 bytes");
    *status = 101;
    return 0;
}

void ws_frame_put_response(struct buf *out, const struct http_head *request,
                           const struct http_header *more)
{
    const struct str *key = http_head_get(request, "Sec-WebSocket-Key");
    const struct str *offered = http_head_get(request, "Sec-WebSocket-Protocol");
    struct buf accept = {0};

    put_accept(&accept, key != NULL ? *key : STR(""));
    http_head_put_status(out, 101);
    http_head_put_header(out, "Upgrade", STR("websocket"));
    http_head_put_header(out, "Connection", STR("Upgrade"));
    http_head_put_header(out, "Sec-WebSocket-Accept", buf_str(&accept));
    if (offered != NULL)
        http_head_put_header(out, "Sec-WebSocket-Protocol",
                             str_trim(str_slice(*offered, 0, str_find(*offered, ','))));
    if (more != NULL)
        http_head_put_header(out, more->name.p, more->value);
    http_head_put_end(out);
    out->failed = out->failed || accept.failed;
    buf_free(&accept);
}
