/* Every interval of the servers, in milliseconds. */
#ifndef HUB_HUB_TIMES_H
#define HUB_HUB_TIMES_H

#include <stdint.h>

#include "base/err.h"
#include "http/http_server.h"
#include "proxy/proxy_options.h"
#include "proxy/relay.h"

/* Tests shorten intervals by it: "name=milliseconds,…". */
#define HUB_TIMES_VARIABLE "KACHERY_RESOURCE_TEST_HUB_INTERVALS"

/* Every interval of the servers. */
struct hub_times {
    struct http_times http;
    struct proxy_times proxy;
    int64_t worker_idle_ms, worker_ping_ms, worker_stuck_ms, worker_kill_ms; /* crew.h */
    int64_t check_wait_ms, check_stuck_ms;                                /* check_queue.h */
    struct relay_times relay;
    int64_t relay_idle_ms;  /* a relay without a connection ends */
    int64_t range_wait_ms;  /* range_server.h */
    int64_t range_start_ms; /* ranges.h */
};

/* Sets all intervals: their defaults, with the changes of the environment. ERR_USAGE for a value
 * that is malformed. */
int hub_times_load(struct hub_times *times, struct err *e) ERR_CHECKED;

#endif
