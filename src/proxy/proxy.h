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

/* 20 s, 5 s, 3 s, 20 s, 60 s, 1 s. */
struct proxy_times proxy_default_times(void);

/* 20,000, 10,000, 10,000. */
struct proxy_limits proxy_default_limits(void);

struct proxy;

struct proxy *proxy_new(const struct proxy_options *options, struct err *e);
void proxy_free(struct proxy *proxy);

/* GET /probe, POST /r/<resource> and (generation 1) /api, and a WebSocket on any path. */
void proxy_put_routes(struct proxy *proxy, struct http_route routes[PROXY_ROUTES]);

/* Takes no more requests; daemons are told to go when nobody waits for them any more. */
void proxy_drain(struct proxy *proxy);

/* Ends the wait of who still waits while draining (404) and every daemon's connection. */
void proxy_give_up(struct proxy *proxy);

/* Sends a text on the session of a daemon that announced ranges (ranges_daemon.session). -1: it
 * takes none. */
int proxy_send_to_daemon(void *session, struct str text);

size_t proxy_daemons(const struct proxy *proxy);

/* Since when the WebSocket is open that has not shown the secret for longest; CLOCK_NEVER_MS when
 * there is none. */
int64_t proxy_stranger_since(const struct proxy *proxy);

/* Ends that one at once. */
void proxy_drop_stranger(struct proxy *proxy);

/* True when no daemon is connected and nobody waits. */
bool proxy_is_empty(const struct proxy *proxy);

#endif
