#include "http/http_proxy.h"

#include <netinet/in.h>
#include <string.h>

#include "base/base64.h"
#include "base/env.h"

enum { DEFAULT_PORT = 80, BARE_PORT = 3128 };

/* The bytes of an address, 4 or 16 of them. */
static struct str address_bytes(const struct addr *a)
{
    if (a->storage.ss_family == AF_INET)
        return (struct str){(const char *)&((const struct sockaddr_in *)&a->storage)->sin_addr, 4};
    return (struct str){(const char *)&((const struct sockaddr_in6 *)&a->storage)->sin6_addr, 16};
}

static bool has_prefix_bits(struct str a, struct str b, uint64_t bits)
{
    for (size_t i = 0; i < a.len && bits > 0; i++) {
        unsigned char mask = bits >= 8 ? 0xff : (unsigned char)(0xff << (8 - bits));
        if ((a.p[i] ^ b.p[i]) & mask)
            return false;
        bits -= bits >= 8 ? 8 : bits;
    }
    return true;
}

/* An address or network that covers `host`, which is an address itself. */
static bool is_network_match(struct str item, const struct addr *host)
{
    size_t slash = str_find(item, '/');
    struct str text = str_slice(item, 0, slash), bytes, of_host = address_bytes(host);
    struct addr network;
    uint64_t bits;

    if (!addr_parse_literal(text, 0, &network))
        return false;
    bytes = address_bytes(&network);
    bits = 8 * bytes.len;
    if (slash < item.len && !str_to_uint(str_slice(item, slash + 1, item.len), bits, &bits))
        return false;
    return bytes.len == of_host.len && has_prefix_bits(bytes, of_host, bits);
}

/* `host` is the domain or below it. */
static bool is_domain_match(struct str item, struct str host)
{
    if (str_starts_with(item, STR("*.")))
        item = str_slice(item, 1, item.len);
    if (str_starts_with(item, STR(".")))
        item = str_slice(item, 1, item.len);
    if (str_ends_with(item, STR(".")))
        item.len--;
    if (item.len == 0 || host.len < item.len)
        return false;
    if (!str_equal_nocase(str_slice(host, host.len - item.len, host.len), item))
        return false;
    return host.len == item.len || host.p[host.len - item.len - 1] == '.';
}

/* Splits ":port" off an item: a bare IPv6 address has more than one colon and no port. */
static bool split_port(struct str *item, uint16_t *port)
{
    size_t colon = item->len;
    uint64_t number;

    if (str_starts_with(*item, STR("["))) {
        size_t end = str_find(*item, ']');
        struct str rest = str_slice(*item, end + 1, item->len);
        *item = str_slice(*item, 1, end);
        if (rest.len == 0)
            return false;
        if (rest.p[0] != ':' || !str_to_uint(str_slice(rest, 1, rest.len), 65535, &number))
            return false;
        *port = (uint16_t)number;
        return true;
    }
    while (colon > 0 && item->p[colon - 1] != ':')
        colon--;
    if (colon == 0 || str_find(*item, ':') != colon - 1 ||
        !str_to_uint(str_slice(*item, colon, item->len), 65535, &number))
        return false;
    *item = str_slice(*item, 0, colon - 1);
    *port = (uint16_t)number;
    return true;
}

static bool is_item_match(struct str item, struct str host, uint16_t port)
{
    struct addr addr;
    uint16_t only = 0;

    if (str_equal(item, STR("*")))
        return true;
    if (split_port(&item, &only) && only != port)
        return false;
    if (addr_parse_literal(host, 0, &addr))
        return is_network_match(item, &addr);
    return is_domain_match(item, host);
}

bool http_proxy_is_excluded(struct str list, struct str host, uint16_t port)
{
    if (host.len > 0 && host.p[host.len - 1] == '.')
        host.len--;
    while (list.len > 0) {
        size_t end = 0;
        while (end < list.len && strchr(", \t", list.p[end]) == NULL)
            end++;
        if (end > 0 && is_item_match(str_slice(list, 0, end), host, port))
            return true;
        list = str_slice(list, end + 1, list.len);
    }
    return false;
}

/* Returns the value of the first variable that is set; *name is that variable's. */
static const char *find_variable(const struct url *url, const char **name)
{
    static const char *const for_tls[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                          NULL};
    static const char *const for_plain[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY",
                                            NULL};

    for (const char *const *v = url_is_tls(url) ? for_tls : for_plain; *v != NULL; v++) {
        bool is_forgeable = strcmp(*v, "HTTP_PROXY") == 0 && env_get("REQUEST_METHOD") != NULL;
        if (!is_forgeable && env_get(*v) != NULL) {
            *name = *v;
            return env_get(*v);
        }
    }
    return NULL;
}

#define WANT "want http://[user:password@]host[:port]"
#define ENCODING                                                                                   \
    " (in user and password @ : / ? # % and others are percent-encoded: @ is %40, : is %3A, % is " \
    "%25)"

/* Refuses a value in words that show nothing of it: it may hold a password. */
static int refuse_value(struct str value, struct err *e)
{
    bool may_have_password = str_find(value, '@') < value.len;

    if (str_equal_nocase(str_slice(value, 0, 5), STR("socks")))
        return err_set(e, ERR_USAGE,
                       "SOCKS proxies are not supported: " WANT
                       " of an HTTP proxy; no_proxy names hosts to reach directly");
    if (str_equal_nocase(str_slice(value, 0, 8), STR("https://")))
        return err_set(e, ERR_USAGE,
                       "a proxy that is spoken to in TLS is not supported: " WANT "%s",
                       may_have_password ? ENCODING : "");
    return err_set(e, ERR_USAGE, WANT "%s", may_have_password ? ENCODING : "");
}

static int take_credentials(struct http_proxy *out, struct str userinfo, struct err *e)
{
    struct buf plain = {0};
    int result = 0;

    if (userinfo.len == 0)
        return 0;
    if (!url_put_decoded(&plain, userinfo)) {
        result = err_set(e, ERR_USAGE, "user name or password is not percent-encoded: " WANT "%s",
                         ENCODING);
    } else {
        if (str_find(userinfo, ':') == userinfo.len)
            buf_putc(&plain, ':');
        buf_puts(&out->authorization, "Basic ");
        base64_put(&out->authorization, buf_str(&plain));
        result = buf_check(&out->authorization, e);
    }
    buf_wipe(&plain);
    return result;
}

/* "#" and what follows, which is no part of a URL's text, with an '@' in it. */
static bool has_fragment(struct str text)
{
    struct str rest = str_slice(text, str_find(text, '#'), text.len);

    return str_find(rest, '@') < rest.len;
}

static int parse_value(struct http_proxy *out, struct str value, struct err *e)
{
    struct buf text = {0};
    struct url url;
    struct err cause;
    bool has_scheme = memmem(value.p, value.len, "://", 3) != NULL;
    int result = -1;

    if (!has_scheme)
        buf_puts(&text, "http://");
    buf_put(&text, value);
    if (buf_check(&text, e) != 0 || url_parse(&url, buf_str(&text), &cause) != 0 ||
        !str_equal_nocase(url.scheme, STR("http")) || url.host.len >= sizeof out->host ||
        str_find(url.target, '@') < url.target.len || has_fragment(buf_str(&text))) {
        /* (An '@' behind the host: a password with a '/', '?' or '#' in it.) */
        refuse_value(value, e);
    } else {
        memcpy(out->host, url.host.p, url.host.len);
        out->port = url.has_port ? url.port : has_scheme ? DEFAULT_PORT : BARE_PORT;
        addr_format_endpoint(url.host, out->port, out->endpoint);
        out->is_used = true;
        result = take_credentials(out, url.userinfo, e);
    }
    buf_wipe(&text);
    return result;
}

int http_proxy_find(struct http_proxy *out, const struct url *url, struct err *e)
{
    struct http_proxy found = {0};
    const char *name, *value = find_variable(url, &name);
    const char *excluded = env_get("no_proxy");

    if (excluded == NULL)
        excluded = env_get("NO_PROXY");
    if (value != NULL && !http_proxy_is_excluded(str_of(excluded), url->host, url->port) &&
        parse_value(&found, str_trim(str_of(value)), e) != 0) {
        http_proxy_deinit(&found);
        return err_wrap(e, "%s", name);
    }
    *out = found;
    return 0;
}

void http_proxy_deinit(struct http_proxy *proxy)
{
    buf_wipe(&proxy->authorization);
}
