/*
 * The upload worker: reads, hashes and sends one file after the other, in a process of its own. It
 * alone (and the registration check) holds the client's keys.
 *
 * It gets {"id":N,"type":"upload","hash":H} and answers {"id":N,"type":…} with
 * "progress" (bytes), at most every 100 ms, then "completed" (hash, size, existed, ms) or
 * "failed" (hash, reason: in words for a remote person).
 */
#ifndef DAEMON_UPLOAD_WORKER_H
#define DAEMON_UPLOAD_WORKER_H

#include <stdint.h>

struct upload_worker {
    const char *zone;
    int64_t max_cpu_ms; /* it ends, between jobs, after so much processor time */
};

/* A process_options.run; `ctx` is a struct upload_worker. */
int upload_worker_run(int fd, void *ctx);

#endif
