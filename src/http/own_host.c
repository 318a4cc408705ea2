#include "http/own_host.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "base/buf.h"
#include "proto/url.h"

enum { MAX_NAME_BYTES = 255 };

static bool is_address(const struct url *url)
{
    char text[INET_ADDRSTRLEN] = {0};
    struct in_addr address;

    if (url->is_ipv6)
        return true;
    for (size_t i = 0; i < url->host.len; i++) {
        if (i + 1 == sizeof text)
            return false;
        text[i] = url->host.p[i];
    }
    return inet_pton(AF_INET, text, &address) == 1;
}

/* The name without the dot of the root, which makes it no other name. */
static struct str without_root(struct str name)
{
    return str_ends_with(name, STR(".")) ? str_slice(name, 0, name.len - 1) : name;
}

static bool is_public_host(struct str host, const char *public_url)
{
    struct url url;

    return public_url != NULL && url_parse(&url, str_of(public_url), ERR_IGNORED) == 0 &&
           str_equal_nocase(without_root(url.host), host);
}

bool own_host_admits(struct str host, const char *own_name, const char *public_url)
{
    struct buf text = {0};
    struct url url;
    bool is_own = false;

    buf_puts(&text, "http://");
    buf_put(&text, host);
    if (!text.failed && url_parse(&url, buf_str(&text), ERR_IGNORED) == 0 &&
        url.userinfo.len == 0 && url.target.len == 0) {
        struct str name = without_root(url.host);
        is_own = is_address(&url) || (name.len > 0 && (str_find(name, '.') == name.len ||
                                                       str_equal_nocase(name, str_of(own_name)) ||
                                                       is_public_host(name, public_url)));
    }
    buf_free(&text);
    return is_own;
}

/* Judges the authority of a target in absolute form, which counts instead of Host (RFC 9112
 * §3.2.2): both are looked at. */
static bool is_own_target(struct str target, const char *own_name, const char *public_url)
{
    struct url url;
    struct buf host = {0};
    bool is_own;

    if (str_starts_with(target, STR("/")))
        return true;
    if (url_parse(&url, target, ERR_IGNORED) != 0)
        return false;
    url_put_host(&host, &url);
    is_own = own_host_admits(buf_str(&host), own_name, public_url);
    buf_free(&host);
    return is_own;
}

bool own_host_is(const struct http_head *head, const char *public_url)
{
    const struct str *host = http_head_get(head, "Host");
    char own_name[MAX_NAME_BYTES + 1] = {0};

    if (gethostname(own_name, MAX_NAME_BYTES) != 0)
        own_name[0] = '\0';
    return host != NULL && own_host_admits(*host, own_name, public_url) &&
           is_own_target(head->target, own_name, public_url);
}
