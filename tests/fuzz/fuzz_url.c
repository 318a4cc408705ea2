/* A URL's parts lie in its text, and what is put together from them is a URL with the same parts;
 * percent-encoding is undone by decoding. */
#include <string.h>

#include "fuzz.h"
#include "proto/url.h"

static void require_same(const struct url *u, struct buf *text)
{
    struct url again;

    require(!text->failed);
    if (url_parse(&again, buf_str(text), ERR_IGNORED) != 0) {
        require(text->len > URL_MAX_BYTES); /* http became https */
    } else {
        require(str_equal(u->host, again.host) && u->port == again.port);
        require(str_equal(u->target, again.target) && str_equal(u->userinfo, again.userinfo));
        require(url_is_tls(u) == url_is_tls(&again) && u->is_ipv6 == again.is_ipv6);
    }
    buf_clear(text);
}

static bool is_inside(struct str part, struct str text)
{
    return part.len == 0 || (part.p >= text.p && part.p + part.len <= text.p + text.len);
}

static void check_url(const struct url *u, struct str text)
{
    struct buf out = {0};

    require(u->host.len > 0 && u->port > 0 && u->text.len <= text.len);
    require(is_inside(u->host, text) && is_inside(u->target, text) && is_inside(u->query, text));
    url_put_http(&out, u);
    require_same(u, &out);
    /* From the parts. */
    buf_puts(&out, url_is_tls(u) ? "https://" : "ws://");
    buf_put(&out, u->userinfo);
    buf_puts(&out, u->userinfo.len > 0 ? "@" : "");
    url_put_host(&out, u);
    buf_put(&out, u->target);
    require_same(u, &out);
    url_put_target(&out, u);
    require(out.data[0] == '/');
    buf_clear(&out);
    url_put_redacted(&out, u);
    require(u->query.len == 0 || str_find(buf_str(&out), '?') + 4 == out.len);
    buf_free(&out);
}

static void check_encoding(struct str text)
{
    struct buf encoded = {0}, decoded = {0};

    url_put_encoded(&encoded, text, "/:");
    for (size_t i = 0; i < encoded.len; i++)
        require(encoded.data[i] > ' ' && encoded.data[i] < 0x7f && encoded.data[i] != '?');
    require(url_put_decoded(&decoded, buf_str(&encoded)));
    require(str_equal(buf_str(&decoded), text));
    buf_clear(&decoded);
    if (!url_put_decoded(&decoded, text))
        require(decoded.len == 0);
    else
        require(decoded.len <= text.len);
    buf_free(&encoded);
    buf_free(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size}, value;
    struct err e = {0};
    struct url u;

    if (url_parse(&u, text, &e) == 0) {
        check_url(&u, text);
        if (url_query_get(u.query, STR("a"), &value))
            require(is_inside(value, u.query));
    } else {
        require(e.code == ERR_USAGE && str_is_utf8(str_of(e.msg)));
        require(strpbrk(e.msg, "\r\n\x1b") == NULL);
    }
    check_encoding(text);
    return 0;
}
