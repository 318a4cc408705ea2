/* The options of a proxy: intervals, limits, and its reports to its owner, which are all that the
 * hub passes between it and the gateway. */
#ifndef PROXY_PROXY_OPTIONS_H
#define PROXY_PROXY_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "loop/loop.h"

/* Deadlines in milliseconds; tests shorten them. */
struct proxy_times {
    int64_t initialize_ms; /* for a daemon's first message */
    int64_t takeover_ms;   /* for the pong of a daemon whose name a second one claims */
    int64_t rejoin_ms;     /* requests of a lost daemon wait so long for it to come back */
    int64_t ping_ms;       /* between pings */
    int64_t dead_ms;       /* without a byte from a daemon */
    int64_t wrong_ms;      /* between the answers to wrong secrets of one address */
};

/* Beyond them clients hear 503 and daemons are not let in. */
struct proxy_limits {
    size_t waiting;      /* requests, of all resources */
    size_t per_resource; /* of one resource */
    size_t resources;    /* daemons that have shown the secret */
};

struct ranges;

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
    /* Returns the common part of the tags of one address, 0 when it is not known. NULL: always
     * 0. */
    uint64_t (*place_of)(uint64_t tag);
    /* A daemon serves that name now (zone NULL: generation 1); none does any more. May be NULL. */
    void (*on_online)(void *owner, const char *name, const char *zone);
    void (*on_offline)(void *owner, const char *name);
    struct ranges *ranges; /* borrowed; daemons are told of them; NULL: there are none */
    void *owner;
};

#endif
