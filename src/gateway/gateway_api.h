/*
 * The zone gateway's HTTP side, in a process that may wait for the bucket:
 *     POST /api/gateway; the pages of client_pages.h
 */
#ifndef GATEWAY_GATEWAY_API_H
#define GATEWAY_GATEWAY_API_H

#include "gateway/client_pages.h"
#include "gateway/gateway_site.h"
#include "http/http_server.h"

enum { GATEWAY_API_ROUTES = 2 + CLIENT_PAGES_ROUTES };

/* Fills in all routes of a gateway's process; `site` is borrowed for as long as they are served. */
void gateway_api_put_routes(struct gateway_site *site,
                            struct http_route routes[GATEWAY_API_ROUTES]);

#endif
