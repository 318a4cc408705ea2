/*
 * Where clients are registered and shown, by browsers and by our own client:
 *     GET  /registerClient/<id>?signature=&zone=&label=   a page with a button
 *     POST the same                                       registers, with --open-registration
 *     GET  /client/<id>?zone=                             whether it is registered
 * A web page of another origin must not be able to register anything here: it cannot read the
 * token that the button sends, nor send the header that our client sends instead, nor frame the
 * page, nor come by a name of its own that points here (own_host.h).
 */
#ifndef GATEWAY_CLIENT_PAGES_H
#define GATEWAY_CLIENT_PAGES_H

#include "gateway/gateway_site.h"
#include "http/http_server.h"

enum {
    CLIENT_PAGES_ROUTES = 4,
    CLIENT_PAGES_MAX_FORM_BYTES = 4096,
    CLIENT_PAGES_MAX_LABEL_BYTES = 200
};

/* Fills in the routes; `site` is borrowed for as long as they are served. */
void client_pages_put_routes(struct gateway_site *site,
                             struct http_route routes[CLIENT_PAGES_ROUTES]);

#endif
