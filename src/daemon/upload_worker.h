/*
 * The upload worker: reads, hashes and sends one file after the other, in a process of its own. It
 * alone (and the registration check) holds the client's keys.
 *
 * It gets {"id":N,"type":"upload","hash":H} and answers {"id":N,"type":…} with
 * "progress" (bytes: less than before when it begins anew), at most every 100 ms, and "note" (hash,
 * text: for the log), then "completed" (hash, size, existed, ms) or
 * "failed" (hash; reason: in words for a remote person; detail: for this host's log alone); both
 * with isSpent: it should get no further job.
 */
#ifndef DAEMON_UPLOAD_WORKER_H
#define DAEMON_UPLOAD_WORKER_H

#include <stdint.h>

#include "daemon/config.h"

struct upload_worker {
    const struct config *config;
    int64_t max_cpu_ms; /* after so much processor time it is spent */
};

/* A process_options.run; `ctx` is a struct upload_worker. */
int upload_worker_run(int fd, void *ctx);

#endif
