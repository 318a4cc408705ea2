/*
 * The upload worker: reads, hashes and sends one file after the other, in a process of its own. It
 * alone (and the registration check) holds the client's keys. Of a large file it forks a hasher
 * (proc/hasher.h).
 *
 * Its messages: upload_message.h.
 */
#ifndef DAEMON_UPLOAD_WORKER_H
#define DAEMON_UPLOAD_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"

struct upload_worker {
    const struct config *config;
    int64_t max_cpu_ms; /* after so much processor time it is spent */
    bool is_metered;    /* it sends no byte that it was not given (meter.h) */
};

/* Runs a worker: a process_options.run whose `ctx` is a struct upload_worker. */
int upload_worker_run(int fd, void *ctx);

#endif
