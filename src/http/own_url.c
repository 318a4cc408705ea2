#include "http/own_url.h"

#include <string.h>

enum { MAX_HOST_BYTES = 300 };

/* A Host that can stand in a URL as it is: the signed part of a URL does not cover it, and only who
 * sent it is told. */
static bool is_safe_host(struct str host)
{
    static const char allowed[] = "-.:[]_~";

    for (size_t i = 0; i < host.len; i++) {
        char c = host.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(allowed, c) != NULL)))
            return false;
    }
    return host.len > 0 && host.len <= MAX_HOST_BYTES;
}

/* X-Forwarded-Proto is believed as Host is: the answer goes to its sender alone. */
static const char *scheme_of(const struct http_head *head)
{
    const struct str *proto = http_head_get(head, "X-Forwarded-Proto");

    return proto != NULL && str_equal_nocase(*proto, STR("https")) ? "https://" : "http://";
}

bool own_url_knows_scheme(const struct own_url *url, const struct http_head *head)
{
    return url->public_url != NULL || http_head_get(head, "X-Forwarded-Proto") != NULL;
}

void own_url_put(const struct own_url *url, const struct http_head *head, struct buf *out)
{
    const struct str *host = http_head_get(head, "Host");

    if (url->public_url != NULL) {
        buf_puts(out, url->public_url);
    } else if (host != NULL && is_safe_host(*host)) {
        buf_puts(out, scheme_of(head));
        buf_put(out, *host);
    } else {
        buf_puts(out, url->listen_url);
    }
}
