/* The process that does a batch's work; used by batch.c alone. Its messages: batch_message.h. */
#ifndef STORE_BATCH_WORKER_H
#define STORE_BATCH_WORKER_H

#include <stddef.h>

#include "store/batch_options.h"

enum { BATCH_REPORT_MS = 100, BATCH_WORKER_PATHS = 64 /* of one job */ };

/* Returns how many files a worker has in hand at once, at most, and so how many jobs. */
size_t batch_worker_lanes(const struct batch_options *options);

/* Runs a worker: a process_options.run whose `ctx` is the batch's options. */
int batch_worker_run(int fd, void *ctx);

#endif
