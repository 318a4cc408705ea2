/* GET /: what this server is, its version, and how to use it. For curl as text, for a browser as a
 * page. */
#ifndef SITE_FRONT_PAGE_H
#define SITE_FRONT_PAGE_H

#include <stdbool.h>

#include "bucket/site.h"
#include "http/http_server.h"

struct front_page {
    bool has_proxy, has_gateway;
    const struct site *site; /* borrowed; of a proxy alone its listen_url */
};

/* `page` is borrowed. */
struct http_route front_page_route(struct front_page *page);

#endif
