/* The subject of a gateway: its bucket, and the settings that it was started with. The hub fills it
 * in; everything is borrowed. */
#ifndef GATEWAY_GATEWAY_SITE_H
#define GATEWAY_GATEWAY_SITE_H

#include <stdbool.h>
#include <stdint.h>

#include "bucket/bucket.h"
#include "http/own_url.h"

/* A question whether a connected host has a file; zeros but for the first two before it starts. */
struct host_find {
    /* `size` in bytes, or -1: no host is known to have it with all that is needed to read it. */
    void (*on_done)(void *owner, int64_t size);
    void *owner;
    uint64_t id; /* the rest is the finder's */
    struct host_find *next;
};

struct gateway_site {
    struct bucket *bucket;
    const char *zone; /* the own one, which has all of the bucket */
    bool is_open;     /* --open-registration */
    bool has_links;   /* share links are made: what they open is served by the same hub */
    const struct own_url *url;
    const unsigned char *page_key; /* PAGE_TOKEN_KEY bytes, secret */
    /* Whether a daemon of that name is connected for that zone to a proxy of the same hub, and
     * since when; `is_own`: the zone is the own one. NULL: there is no proxy. */
    bool (*is_online)(void *owner, struct str name, struct str zone, bool is_own,
                      int64_t *since_ms);
    void *owner;
    /* --find-on-hosts: asks for a file that the bucket lacks. find->on_done follows, soon and not
     * before this returns; false: nothing was asked. NULL: no host is asked. */
    bool (*find_on_hosts)(void *owner, struct str zone, struct str hash, struct host_find *find);
    void (*cancel_find)(void *owner, struct host_find *find); /* also of one that is done */
    void *finder;
    const unsigned char *pass_key; /* LINKS_PASS_KEY bytes, secret */
};

#endif
