/*
 * Lets web pages of any origin use a route (the Fetch standard's CORS protocol). These routes
 * depend neither on cookies nor on the browser's network, so the allowed origin is "*".
 */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H

#include "http/http_server.h"
#include "proto/extensions.h"

enum { CORS_MAX_REQUESTED_BYTES = 2048 };

/* The headers that a page may read in every answer of a public route. */
#define CORS_EXPOSED                                                                               \
    "Accept-Ranges, Content-Length, Content-Range, Date, ETag, " EXTENSIONS_HEADER

/* Returns the route that answers the preflights of the public routes at `path`. */
struct http_route cors_route(const char *path);

#endif
