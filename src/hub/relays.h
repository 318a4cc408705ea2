/*
 * The relays of a hub: their processes, which serve /f/, and what passes between them and daemons
 * (proxy/ranges.h).
 */
#ifndef HUB_RELAYS_H
#define HUB_RELAYS_H

#include <stdint.h>

#include "base/err.h"
#include "bucket/data_dir.h"
#include "hub/hub_times.h"
#include "http/crew.h"
#include "proxy/ranges.h"

enum { RELAYS_MAX = 8 };

struct relays;

struct relays_options {
    struct loop *loop;
    const struct data_dir *dir; /* borrowed, like zone and extensions */
    const char *zone;
    const char *extensions;
    const struct hub_times *times; /* borrowed */
    int64_t cache_bytes;           /* of all of them; -1: a tenth of the file system */
    bool keeps_whole_files;        /* see range_server_options */
    bool returns_each;             /* see crew_worker_options */
    void (*on_return)(void *owner, int fd, struct str bytes, uint64_t tag); /* see crew_options */
    void (*on_closed)(void *owner, uint64_t tag);
    /* A relay asks for the check of an object, see crew_options. */
    void (*on_check)(void *owner, uint64_t worker, uint64_t id, struct str bytes);
    /* Sends a note to a worker of the gateway, see ranges_options. */
    void (*send_to_finder)(void *owner, uint64_t worker, uint64_t id, struct str bytes);
    void *owner;
};

/* Returns relays without processes: each is started by the first connection for it. */
struct relays *relays_new(const struct relays_options *options, struct err *e);
void relays_free(struct relays *relays); /* ends the processes; NULL-safe */

/* Returns what the proxy announces its daemons to; borrowed. */
struct ranges *relays_ranges(struct relays *relays);

/* Returns the crew of the processes, by which their connections are counted and ended; borrowed. */
struct crew *relays_crew(struct relays *relays);

/* Fills in RANGE_SERVER_ROUTES routes that hand connections to relays; preflights are answered by
 * the caller's server itself. */
void relays_put_routes(struct relays *relays, struct http_route *routes);

#endif
