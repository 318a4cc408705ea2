#include "proto/url.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/hex.h"
#include "base/quote.h"

static const char accepted[] = "want http://HOST[:PORT][/PATH] or https://, ws://, wss://";

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_unreserved(unsigned char c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* ---- parsing ---- */

/* Writes what of a bad URL may be shown: no user, no query. */
static const char *quote_safely(char quoted[QUOTE_SIZE], struct str text)
{
    text = str_slice(text, 0, str_find(text, '?'));
    size_t at = text.len;
    while (at > 0 && text.p[at - 1] != '@')
        at--;
    return quote_str(quoted, str_slice(text, at, text.len));
}

static int refuse_url(struct err *e, struct str text, const char *cause)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_USAGE, "URL \"%s\": %s: %s", quote_safely(quoted, text), cause, accepted);
}

static bool is_scheme(const struct url *u, const char *name)
{
    return str_equal_nocase(u->scheme, str_of(name));
}

static bool has_forbidden_byte(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
            return true;
    return false;
}

static bool is_userinfo(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_unreserved((unsigned char)s.p[i]) && strchr("%:!$&'()*+,;=", s.p[i]) == NULL)
            return false;
    return true;
}

static bool is_host_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_unreserved((unsigned char)s.p[i]))
            return false;
    return s.len > 0 && s.len <= 255;
}

static bool is_ipv6_literal(struct str s)
{
    char literal[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (s.len >= sizeof literal)
        return false;
    memcpy(literal, s.p, s.len);
    literal[s.len] = '\0';
    return inet_pton(AF_INET6, literal, &address) == 1;
}

/* Takes "host", "host:port", "[v6]" or "[v6]:port". */
static const char *parse_host(struct url *u, struct str s)
{
    uint64_t port;

    if (s.len > 0 && s.p[0] == '[') {
        size_t end = str_find(s, ']');
        u->is_ipv6 = true;
        u->host = str_slice(s, 1, end);
        if (end == s.len || !is_ipv6_literal(u->host))
            return "bad IPv6 address";
        s = str_slice(s, end + 1, s.len);
    } else {
        size_t end = str_find(s, ':');
        u->host = str_slice(s, 0, end);
        s = str_slice(s, end, s.len);
        if (!is_host_name(u->host))
            return u->host.len == 0 ? "no host" : "bad host";
    }
    if (s.len == 0)
        return NULL;
    if (s.p[0] != ':' || !str_to_uint(str_slice(s, 1, s.len), 65535, &port) || port == 0)
        return "bad port (1-65535)";
    u->port = (uint16_t)port;
    u->has_port = true;
    return NULL;
}

static const char *parse_authority(struct url *u, struct str s)
{
    size_t at = str_find(s, '@');

    if (at < s.len) {
        u->userinfo = str_slice(s, 0, at);
        if (!is_userinfo(u->userinfo))
            return "bad user";
        s = str_slice(s, at + 1, s.len);
    }
    return parse_host(u, s);
}

static const char *parse_parts(struct url *u)
{
    struct str rest = u->text;
    size_t end = str_find(rest, ':');

    u->scheme = str_slice(rest, 0, end);
    rest = str_slice(rest, end, rest.len);
    if (!str_starts_with(rest, STR("://")))
        return "no scheme";
    if (!is_scheme(u, "http") && !is_scheme(u, "ws") && !url_is_tls(u))
        return "unknown scheme";
    u->port = url_is_tls(u) ? 443 : 80;
    rest = str_slice(rest, 3, rest.len);
    for (end = 0; end < rest.len && rest.p[end] != '/' && rest.p[end] != '?';)
        end++;
    const char *cause = parse_authority(u, str_slice(rest, 0, end));
    u->target = str_slice(rest, end, rest.len);
    end = str_find(u->target, '?');
    u->path = str_slice(u->target, 0, end);
    u->query = str_slice(u->target, end + 1, u->target.len);
    u->has_query = end < u->target.len;
    return cause;
}

int url_parse(struct url *out, struct str text, struct err *e)
{
    struct url u = {0};

    if (text.len > URL_MAX_BYTES)
        return err_set(e, ERR_USAGE, "URL of %zu bytes: want at most %d", text.len, URL_MAX_BYTES);
    if (has_forbidden_byte(text))
        return refuse_url(e, text, "spaces, control and non-ASCII bytes must be percent-encoded");
    u.text = str_slice(text, 0, str_find(text, '#'));
    const char *cause = parse_parts(&u);
    if (cause != NULL)
        return refuse_url(e, text, cause);
    *out = u;
    return 0;
}

bool url_is_tls(const struct url *u)
{
    return is_scheme(u, "https") || is_scheme(u, "wss");
}

bool url_is_websocket(const struct url *u)
{
    return is_scheme(u, "ws") || is_scheme(u, "wss");
}

/* ---- writing ---- */

void url_put_http(struct buf *out, const struct url *u)
{
    buf_puts(out, url_is_tls(u) ? "https" : "http");
    buf_put(out, str_slice(u->text, u->scheme.len, u->text.len));
}

void url_put_host(struct buf *out, const struct url *u)
{
    if (u->is_ipv6)
        buf_putc(out, '[');
    buf_put(out, u->host);
    if (u->is_ipv6)
        buf_putc(out, ']');
    if (u->port != (url_is_tls(u) ? 443 : 80))
        buf_printf(out, ":%u", (unsigned)u->port);
}

void url_put_target(struct buf *out, const struct url *u)
{
    if (u->path.len == 0)
        buf_putc(out, '/');
    buf_put(out, u->target);
}

void url_put_redacted(struct buf *out, const struct url *u)
{
    buf_put(out, u->scheme);
    buf_puts(out, "://");
    url_put_host(out, u);
    buf_put(out, u->path);
    if (u->has_query)
        buf_puts(out, "?\xe2\x80\xa6"); /* an ellipsis */
}

void url_put_label(struct buf *out, const struct url *u)
{
    struct buf whole = {0};

    url_put_redacted(&whole, u);
    struct str cut = str_cut(buf_str(&whole), URL_MAX_LABEL_BYTES);
    buf_put(out, cut);
    if (cut.len < whole.len)
        buf_puts(out, "\xe2\x80\xa6");
    out->failed |= whole.failed;
    buf_free(&whole);
}

/* ---- percent-encoding ---- */

void url_put_encoded(struct buf *out, struct str raw, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        if (is_unreserved(c) || (c != '\0' && strchr(keep, c) != NULL)) {
            buf_putc(out, raw.p[i]);
        } else {
            char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_append(out, escape, sizeof escape);
        }
    }
}

bool url_put_decoded(struct buf *out, struct str encoded)
{
    size_t before = out->len;

    for (size_t i = 0; i < encoded.len; i++) {
        if (encoded.p[i] != '%') {
            buf_putc(out, encoded.p[i]);
            continue;
        }
        int high = i + 2 < encoded.len ? hex_digit(encoded.p[i + 1]) : -1;
        int low = i + 2 < encoded.len ? hex_digit(encoded.p[i + 2]) : -1;
        if (high < 0 || low < 0) {
            out->len = before;
            return false;
        }
        buf_putc(out, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

bool url_query_get(struct str query, struct str name, struct str *value)
{
    while (query.len > 0) {
        struct str item = str_slice(query, 0, str_find(query, '&'));
        size_t equals = str_find(item, '=');
        if (str_equal(str_slice(item, 0, equals), name)) {
            *value = str_slice(item, equals + 1, item.len);
            return true;
        }
        query = str_slice(query, item.len + 1, query.len);
    }
    return false;
}
