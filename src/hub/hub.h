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
#include "hub/hub_times.h"
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
    bool finds_on_hosts;    /* --find-on-hosts */
};

struct hub_options {
    const char *listen; /* HOST:PORT */
    bool has_proxy;
    struct buf *proxy_secret; /* wiped as soon as the proxy has it: workers must not */
    bool has_gateway;
    struct hub_site_options site;
    int64_t cache_bytes; /* of blocks that relays read; -1: a tenth of the file system */
    struct hub_limits limits;
    struct trusted trusted;
};

/* Serves until SIGTERM or SIGINT, then returns 0; -1 and *e when it cannot start or its loop fails.
 * Prints one line, "listening URL", to standard output. */
int hub_run(const struct hub_options *options, struct err *e) ERR_CHECKED;

#endif
