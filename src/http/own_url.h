/* The URL under which a client sees this server: as it was configured, else as the client's own
 * request says. */
#ifndef HTTP_OWN_URL_H
#define HTTP_OWN_URL_H

#include <stdbool.h>

#include "base/buf.h"
#include "proto/http_head.h"

struct own_url {
    char *public_url; /* without a final '/'; NULL: the Host that a client used */
    char *listen_url; /* for requests without a usable Host */
};

/* Appends the public URL, else http(s)://host:port as seen by the client that sent this head. */
void own_url_put(const struct own_url *url, const struct http_head *head, struct buf *out);

/* Returns whether the scheme of that URL is known; else http:// is only assumed: a front that
 * speaks TLS may not show it. */
bool own_url_knows_scheme(const struct own_url *url, const struct http_head *head);

#endif
