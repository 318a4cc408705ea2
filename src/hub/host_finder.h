/* How a gateway's worker asks the hub's main process whether a connected daemon has a file
 * (--find-on-hosts; proxy/ranges.h answers). Touches no descriptor but the socket to the hub. */
#ifndef HUB_HOST_FINDER_H
#define HUB_HOST_FINDER_H

#include <stdint.h>

#include "gateway/gateway_site.h"

struct host_finder {
    int fd; /* the worker's socket to the hub */
    uint64_t last_id;
    struct host_find *finds;
};

/* Begins to look for a file on hosts, and ends that, as gateway_site.find_on_hosts and cancel_find;
 * `owner` is the finder. Returns false if the hub cannot be asked now: then no answer comes. */
bool host_finder_start(void *owner, struct str zone, struct str hash, struct host_find *find);
void host_finder_cancel(void *owner, struct host_find *find);

/* Takes a note of the hub: the answer to the look of that id. */
void host_finder_on_note(struct host_finder *finder, uint64_t id, struct str bytes);

#endif
