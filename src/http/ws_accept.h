/*
 * From a request of an http_server to an open WebSocket: the server's opening handshake (RFC 6455
 * §4.2). The messages are left to ws_conn.h.
 */
#ifndef HTTP_WS_ACCEPT_H
#define HTTP_WS_ACCEPT_H

#include "http/http_server.h"
#include "http/ws_conn.h"

/* Checks a request for a WebSocket. Returns false when it is no proper one: it is then answered
 * (400 or 426). */
bool ws_accept_check(struct http_conn *conn, const struct http_request *request);

/* Takes the connection of a checked request out of its server, whatever comes of it, and queues the
 * answer, with `more` (NULL: none) as a header. `options->role` is filled in here. NULL as
 * ws_conn_new. For on_head of a route that takes_connection. */
struct ws_conn *ws_accept(struct http_conn *conn, const struct http_request *request,
                          const struct http_header *more, const struct ws_conn_options *options,
                          struct err *e);

#endif
