/*
 * A range worker: dials lines to the hub and sends blocks of open files on them (EXTENSIONS.md §3).
 * It reads files of the store and their manifests, connects to the proxy's URL, signs what a file
 * is, writes nothing and forks nothing. Messages with the supervisor (lines.h), one table each:
 *     line {url, ticket, class}         supervisor: dial a line
 *     credit {bytes, unsent}            supervisor: what it may send (meter.h), in answer to asks
 *     asks {}                           worker: it may send no more
 *     counts {lines, files, bytes, isSpent}   worker: whenever they changed, at most once a second;
 *         it gets no further line when it is spent
 *     missing {hash, size}              worker: the file's manifest has to be made
 *     note {hash, text}                 worker: for the log of this host
 *     opened {hash, path, size, asker, ms}    worker: a file was opened for the hub, in so many ms
 * The worker for bulk gives way to the one for small reads (right_of_way.h), and bounds what is on
 * its way on all lines together (bulk_flight.h).
 */
#ifndef DAEMON_RANGE_WORKER_H
#define DAEMON_RANGE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fields.h"
#include "base/str.h"
#include "daemon/config.h"
#include "daemon/right_of_way.h"

enum {
    RANGE_WORKER_MAX_LINES = 8,
    RANGE_WORKER_UNSENT_BYTES = 262144, /* of a line, before the next block is read */
    RANGE_WORKER_MAX_WANTS = 4096       /* of a line */
};

struct range_worker_message {
    struct str url, ticket, hash, text, path, asker;
    int64_t line_class, lines, files, bytes, size, unsent, ms;
    bool is_spent;
};

/* By what the message is: RANGE_WORKER_LINE and so on. */
enum {
    RANGE_WORKER_LINE,
    RANGE_WORKER_COUNTS,
    RANGE_WORKER_MISSING,
    RANGE_WORKER_NOTE,
    RANGE_WORKER_ASKS,
    RANGE_WORKER_CREDIT,
    RANGE_WORKER_OPENED
};
extern const struct field *const range_worker_messages[];

struct range_worker_options {
    const struct config *config;
    int64_t max_files; /* open at a time */
    int64_t connect_ms, ping_ms, dead_ms, idle_ms;
    int64_t max_cpu_ms; /* after so much processor time it leaves between two blocks */
    bool reports_opened; /* it sends opened */
    bool is_metered;    /* it sends no byte that it was not given (meter.h) */
    bool is_bulk;       /* it gives way to the worker for small reads ... */
    struct right_of_way *way; /* ... here; borrowed; NULL: it does not */
};

/* Runs a worker: a process_options.run whose `ctx` is a struct range_worker_options. */
int range_worker_run(int fd, void *ctx);

#endif
