/*
 * An HTTP/1.1 server on loop/loop.h: heads and bodies as they come, keep-alive, pipelined requests
 * in order, limits and deadlines in every state. It serves streams: sockets that it accepts, or any
 * other (net/stream.h). A connection can leave the server: as a stream, to become a WebSocket, or
 * as a descriptor, to be handed to another process. It knows nothing of what is served.
 */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/http_handler.h"
#include "net/stream.h"

/* Returns the usual times: 75 s, 20 s, 30 s, 60 s, 60 s, 2 s. */
struct http_times http_server_times(void);

/* Makes a server. The options are copied, the routes stay borrowed. */
struct http_server *http_server_new(const struct http_server_options *options, struct err *e);

/* Closes every connection and the listening socket. NULL-safe. */
void http_server_free(struct http_server *server);

/* Accepts on `fd` (a listening, non-blocking socket), which it now owns. */
int http_server_listen(struct http_server *server, int fd, struct err *e) ERR_CHECKED;

/* Takes over a socket (closed on failure) that another server accepted, in this process or in
 * another: it is as that one set it, non-blocking. `bytes` of it were already read. */
int http_server_adopt(struct http_server *server, int fd, struct str bytes, uint64_t tag,
                      struct err *e) ERR_CHECKED;

/* Serves a stream in the same way. Its wake is set here; it is freed on failure. NULL stands for
 * one that could not be made. */
int http_server_serve(struct http_server *server, struct stream *stream, struct str bytes,
                      uint64_t tag, struct err *e) ERR_CHECKED;

/* Stops accepting, closes idle connections, and the others after their current answer. */
void http_server_drain(struct http_server *server);

/* Returns the number of open connections. */
size_t http_server_count(const struct http_server *server);

/* Returns the limit for all connections, here and elsewhere. */
size_t http_server_max_connections(const struct http_server *server);

/* Returns the number of connections above that, here and elsewhere. */
size_t http_server_excess(const struct http_server *server);

/* ---- making room ---- */

/*
 * Returns since when the longest idle connection is idle; CLOCK_NEVER_MS when there is none. A
 * connection is idle while the server owes it nothing: between two requests, with a part of a head
 * (from the head's first byte on, not from its last) or of a body, with answers that it does not
 * read.
 */
int64_t http_server_idle_since(struct http_server *server);

/* Closes the one that http_server_idle_since found. */
void http_server_drop_idle(struct http_server *server);

/* Closes the connection with that tag, if it is idle. */
bool http_server_drop_tagged(struct http_server *server, uint64_t tag);

/* Closes the connection with that tag, whatever it is doing. */
void http_server_end_tagged(struct http_server *server, uint64_t tag);

/* Answers 503 to the newest connection that waits and whose tag matches, and closes it. False when
 * there is none. */
bool http_server_end_waiting(struct http_server *server,
                             bool (*matches)(void *ctx, uint64_t tag), void *ctx,
                             const char *reason);

#endif
