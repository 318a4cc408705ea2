/* GET /: what this server is, its version, and how to use it. For curl as text, for a browser as a
 * page. */
#ifndef SITE_FRONT_PAGE_H
#define SITE_FRONT_PAGE_H

#include <stdbool.h>

#include "http/http_server.h"
#include "http/own_url.h"

struct front_page {
    bool has_proxy, has_gateway;
    const struct own_url *url; /* borrowed */
    const char *zone;          /* borrowed; with a gateway, as the next */
    bool is_open;              /* registration is */
};

/* Returns the route of GET /; `page` is borrowed for as long as it is served. */
struct http_route front_page_route(struct front_page *page);

#endif
