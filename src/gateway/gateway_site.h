/* The subject of a gateway: its bucket, and the settings that it was started with. The hub fills it
 * in; everything is borrowed. */
#ifndef GATEWAY_GATEWAY_SITE_H
#define GATEWAY_GATEWAY_SITE_H

#include <stdbool.h>

#include "bucket/bucket.h"
#include "http/own_url.h"

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
};

#endif
