/*
 * The servers' main process: one loop that accepts, reads heads and JSON and relays between clients
 * and daemons. It never touches the disk after the start: worker processes do (crew.h).
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "http/http_server.h"
#include "hub/trusted.h"
#include "proxy/proxy.h"

enum {
    HUB_DRAIN_MS = 10000,    /* for what is in flight after SIGTERM; a second one ends at once */
    HUB_GOODBYE_MS = 2000,   /* after that, for the last answers */
    HUB_GATEWAY_WORKERS = 4, /* calls are short */
    HUB_BUCKET_WORKERS = 16, /* more transfers than that share a process */
    HUB_BUCKET_NICENESS = 5, /* hashing steps back behind answering */
    HUB_MAX_PER_ADDRESS = 16000 /* of 20,000: a lab behind one address, and still others */
};

/* Tests shorten intervals by it: "name=milliseconds,…". */
#define HUB_TIMES_VARIABLE "KACHERY_RESOURCE_TEST_HUB_INTERVALS"

/* Every interval of the servers. */
struct hub_times {
    struct http_times http;
    struct proxy_times proxy;
    int64_t worker_idle_ms, worker_ping_ms, worker_stuck_ms, worker_kill_ms; /* crew.h */
    int64_t check_wait_ms, check_stuck_ms;                                /* check_queue.h */
};

/* The defaults, with what the environment changes. */
int hub_times_load(struct hub_times *times, struct err *e) ERR_CHECKED;

struct hub_limits {
    size_t connections; /* 0: HTTP_SERVER_MAX_CONNECTIONS, or what the descriptors allow */
    size_t per_address; /* of them, of one client address */
    struct proxy_limits proxy;
};

struct hub_site_options {
    const char *data_dir;
    const char *zone;       /* NULL: "default" */
    const char *public_url; /* NULL: the Host that a client used */
    bool is_open;           /* --open-registration */
};

struct hub_options {
    const char *listen; /* HOST:PORT */
    bool has_proxy;
    struct buf *proxy_secret; /* wiped as soon as the proxy has it: workers must not */
    bool has_gateway;
    struct hub_site_options site;
    struct hub_limits limits;
    struct trusted trusted;
};

/* Serves until SIGTERM or SIGINT: 0. Prints the one "listening" line to standard output. */
int hub_run(const struct hub_options *options, struct err *e) ERR_CHECKED;

#endif
