/*
 * Which HTTP proxy a request goes through, from the environment as curl and wget read it. Looks at
 * names and numbers only: no look-ups.
 */
#ifndef HTTP_HTTP_PROXY_H
#define HTTP_HTTP_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/addr.h"
#include "proto/url.h"

struct http_proxy {
    bool is_used;
    char host[256];
    uint16_t port;
    char endpoint[ADDR_MAX_ENDPOINT]; /* both, for messages */
    struct buf authorization; /* "Basic …", empty without credentials; a secret */
};

/*
 * Finds the proxy for `url`: https_proxy (https, wss) or http_proxy (http, ws), else all_proxy,
 * each in lower or upper case (HTTP_PROXY is not read where a CGI server could have set it: with
 * REQUEST_METHOD); "" and hosts named by no_proxy go directly. The value is
 * `http://[user:password@]host[:port]` or without scheme; the port is 80 when it is absent, 3128
 * without scheme. ERR_USAGE names the variable and what is accepted; credentials appear in no
 * message. Caller frees with http_proxy_deinit.
 */
int http_proxy_find(struct http_proxy *out, const struct url *url, struct err *e);
void http_proxy_deinit(struct http_proxy *proxy);

/*
 * Returns whether a no_proxy list (separated by commas or spaces) names this host. Items: `*`; a
 * domain, which covers the hosts below it, with or without a leading dot or `*.`; an address; a
 * network (10.0.0.0/8, fd00::/8); each of them with `:port` to mean that port alone.
 */
bool http_proxy_is_excluded(struct str list, struct str host, uint16_t port);

#endif
