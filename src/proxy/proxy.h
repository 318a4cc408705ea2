/*
 * The resource proxy (PROTOCOL.md §4): remote clients ask over HTTP, daemons answer over their
 * WebSockets. It reads no files and keeps nothing on disk.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "http/http_server.h"
#include "proxy/proxy_options.h"

enum { PROXY_ROUTES = 4 };

/* Returns 20 s, 5 s, 3 s, 20 s, 60 s, 1 s, in the order of struct proxy_times. */
struct proxy_times proxy_default_times(void);

/* Returns 20,000, 10,000 and 10,000, in the order of struct proxy_limits. */
struct proxy_limits proxy_default_limits(void);

struct proxy;

/* Returns a proxy without daemons. NULL without memory. */
struct proxy *proxy_new(const struct proxy_options *options, struct err *e);

/* Ends the connections of all daemons without a word, and wipes the secret. The server whose routes
 * it serves was freed before. NULL-safe. */
void proxy_free(struct proxy *proxy);

/* Fills in the routes: GET /probe, POST /r/<resource> and (generation 1) /api, and a WebSocket on
 * any path. */
void proxy_put_routes(struct proxy *proxy, struct http_route routes[PROXY_ROUTES]);

/* Refuses requests from now on (503); closes the daemons' connections when no client waits for them
 * any more. */
void proxy_drain(struct proxy *proxy);

/* Answers all clients that still wait (404), and closes every daemon's connection. */
void proxy_give_up(struct proxy *proxy);

/* Sends a text on the session of a daemon that announced ranges (ranges_daemon.session). Returns 0,
 * or -1 if it takes none. */
int proxy_send_to_daemon(void *session, struct str text);

/* Returns how many connections of daemons there are, also of those that have not shown the
 * secret. */
size_t proxy_daemons(const struct proxy *proxy);

/* Returns since when (clock_now_ms()) the oldest WebSocket that has not shown the secret is open;
 * CLOCK_NEVER_MS when there is none. */
int64_t proxy_stranger_since(const struct proxy *proxy);

/* Ends the connection of proxy_stranger_since at once. */
void proxy_drop_stranger(struct proxy *proxy);

/* Returns true when no daemon is connected and no client waits. */
bool proxy_is_empty(const struct proxy *proxy);

#endif
