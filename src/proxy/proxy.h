/*
 * The resource proxy (PROTOCOL.md §4): remote clients ask over HTTP, daemons answer over their
 * WebSockets. It reads no files and keeps nothing on disk.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/http_server.h"
#include "loop/loop.h"

enum {
    PROXY_MAX_HELLO_BYTES = 8192,      /* a message of who has not shown the secret yet */
    PROXY_MAX_SENDS = 4,               /* of one request, each time its daemon was lost before */
    PROXY_MAX_KEPT_URI = 2048,         /* a request with a longer one does not outlive its daemon */
    PROXY_ROUTES = 4
};

/* Deadlines in milliseconds; tests shorten them. */
struct proxy_times {
    int64_t initialize_ms; /* for a daemon's first message */
    int64_t takeover_ms;   /* for the pong of a daemon whose name a second one claims */
    int64_t rejoin_ms;     /* requests of a lost daemon wait so long for it to come back */
    int64_t ping_ms;       /* between pings */
    int64_t dead_ms;       /* without a byte from a daemon */
    int64_t wrong_ms;      /* between the answers to wrong secrets of one address */
};

/* 20 s, 5 s, 3 s, 20 s, 60 s, 1 s. */
struct proxy_times proxy_default_times(void);

/* Beyond them clients hear 503 and daemons are not let in. */
struct proxy_limits {
    size_t waiting;      /* requests, of all resources */
    size_t per_resource; /* of one resource */
    size_t resources;    /* daemons that have shown the secret */
};

/* 20,000, 10,000, 10,000. */
struct proxy_limits proxy_default_limits(void);

struct proxy;

struct proxy_options {
    struct loop *loop;
    struct str secret; /* copied, wiped by proxy_free */
    struct proxy_times times;
    struct proxy_limits limits;
    /* A daemon's connection, which was an http_server's with that tag, is closed. May be NULL. */
    void (*on_closed)(void *owner, uint64_t tag);
    /* A daemon showed the secret: its connection is known by its name from now on. May be NULL. */
    void (*on_known)(void *owner, uint64_t *tag);
    /* Appends the address that a connection with that tag is of, without a port. NULL: all are of
     * one. */
    void (*put_address)(void *owner, uint64_t tag, struct buf *out);
    /* What the tags of one address have in common, 0 when it is not known. NULL: always 0. */
    uint64_t (*place_of)(uint64_t tag);
    /* A daemon serves that name now (zone NULL: generation 1); none does any more. May be NULL. */
    void (*on_online)(void *owner, const char *name, const char *zone);
    void (*on_offline)(void *owner, const char *name);
    void *owner;
};

struct proxy *proxy_new(const struct proxy_options *options, struct err *e);
void proxy_free(struct proxy *proxy);

/* GET /probe, POST /r/<resource> and (generation 1) /api, and a WebSocket on any path. */
void proxy_put_routes(struct proxy *proxy, struct http_route routes[PROXY_ROUTES]);

/* Takes no more requests; daemons are told to go when nobody waits for them any more. */
void proxy_drain(struct proxy *proxy);

/* Ends the wait of who still waits while draining (404) and every daemon's connection. */
void proxy_give_up(struct proxy *proxy);

size_t proxy_daemons(const struct proxy *proxy);

/* Since when the WebSocket is open that has not shown the secret for longest; CLOCK_NEVER_MS when
 * there is none. */
int64_t proxy_stranger_since(const struct proxy *proxy);

/* Ends that one at once. */
void proxy_drop_stranger(struct proxy *proxy);

/* True when no daemon is connected and nobody waits. */
bool proxy_is_empty(const struct proxy *proxy);

#endif
