/*
 * The range workers of a daemon (range_worker.h): one for small reads and one for bulk, each with
 * the lines of its class, started when the hub first wants one.
 */
#ifndef DAEMON_LINES_H
#define DAEMON_LINES_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "daemon/credits.h"
#include "daemon/range_worker.h"
#include "loop/loop.h"
#include "proto/range_message.h"

struct lines;

struct lines_options {
    struct loop *loop;                  /* borrowed */
    const struct config *config;        /* borrowed */
    struct credits *credits;            /* borrowed; NULL: workers send as they like */
    int64_t max_cpu_ms;                 /* of a worker: then another one takes its place */
    int64_t max_files;                  /* open at a time, in both workers together */
    int64_t connect_ms, ping_ms, dead_ms, idle_ms;
    int64_t leave_ms;                   /* a worker without a line ends after so long */
    int64_t stuck_ms;                   /* a worker that reads nothing for so long is killed */
    /* A file that is asked for has no manifest. */
    void (*on_missing)(void *owner, struct str hash, int64_t size);
    /* A file was opened for the hub. NULL: nobody wants to know. */
    void (*on_opened)(void *owner, const struct range_worker_message *m);
    /* The counts have changed (lines_counts). */
    void (*on_counts)(void *owner);
    void *owner;
};

struct lines_counts {
    int64_t lines, files, bytes; /* bytes: since the start of the daemon */
};

/* Makes it without workers; the options are copied. NULL with ERR_FAILED without memory. */
struct lines *lines_new(const struct lines_options *options, struct err *e);

/* Kills the workers, and with them every line; lines_open starts new ones. */
void lines_drop(struct lines *lines);

/* Kills the workers. NULL-safe. */
void lines_free(struct lines *lines);

/* Opens a line that the hub at `url` wants. A worker that cannot be started is logged. */
void lines_open(struct lines *lines, struct str url, struct str ticket,
                enum range_class line_class);

/* Returns the sums over both workers, as they last reported them. */
struct lines_counts lines_counts(const struct lines *lines);

#endif
