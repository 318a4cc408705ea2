/*
 * The lookup worker: stat(2) and link records, in a process of its own. Reads no data of any file,
 * speaks what lookups.h describes.
 */
#ifndef DAEMON_LOOKUP_WORKER_H
#define DAEMON_LOOKUP_WORKER_H

/* A process_options.run; `ctx` is a struct vouchers. */
int lookup_worker_run(int fd, void *ctx);

#endif
