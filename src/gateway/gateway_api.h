/*
 * The zone gateway's HTTP side, in a process that may wait for the disk:
 *     POST /api/gateway; the pages of client_pages.h
 */
#ifndef GATEWAY_GATEWAY_API_H
#define GATEWAY_GATEWAY_API_H

#include "bucket/site.h"
#include "gateway/client_pages.h"
#include "http/http_server.h"

enum { GATEWAY_API_ROUTES = 2 + CLIENT_PAGES_ROUTES };

/* What the gateway's process serves; `site` is borrowed. */
void gateway_api_put_routes(struct site *site, struct http_route routes[GATEWAY_API_ROUTES]);

#endif
