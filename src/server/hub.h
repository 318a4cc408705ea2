/*
 * The servers' main process: one loop that accepts, reads heads and JSON and relays between clients
 * and daemons. It never touches the disk after the start: worker processes do (crew.h).
 */
#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/site.h"

enum {
    HUB_DRAIN_MS = 10000,    /* for what is in flight after SIGTERM; a second one ends at once */
    HUB_GOODBYE_MS = 2000,   /* after that, for the last answers */
    HUB_GATEWAY_WORKERS = 4, /* calls are short */
    HUB_BUCKET_WORKERS = 16, /* more transfers than that share a process */
    HUB_WORKER_IDLE_MS = 30000
};

struct hub_options {
    const char *listen; /* HOST:PORT */
    bool has_proxy;
    struct buf *proxy_secret; /* wiped as soon as the proxy has it: workers must not */
    bool has_gateway;
    struct site_options site;
};

/* Serves until SIGTERM or SIGINT: 0. Prints the one "listening" line to standard output. */
int hub_run(const struct hub_options *options, struct err *e);

#endif
