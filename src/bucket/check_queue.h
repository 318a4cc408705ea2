/*
 * In the hub: which objects are to be read and compared with their hash (object.h). Two lanes by
 * size with a process each, so that large objects do not keep small ones waiting; in a lane clients
 * take turns, one check of a client at a time; an object that waits already is not queued again.
 * Touches no disk.
 */
#ifndef BUCKET_CHECK_QUEUE_H
#define BUCKET_CHECK_QUEUE_H

#include "bucket/check_asker.h"
#include "loop/loop.h"

enum {
    CHECK_LARGE_BYTES = 64 << 20, /* from here on nobody waits */
    CHECK_MAX_QUEUED = 1024,      /* in a lane */
    CHECK_MAX_PER_CLIENT = 64,    /* of them */
    CHECK_SMALL_NICENESS = 5,     /* as the bucket's processes: somebody waits */
    CHECK_LARGE_NICENESS = 10
};

struct check_queue;

struct check_queue_options {
    struct loop *loop;
    struct data_dir *dir; /* for the processes */
    int64_t wait_ms;   /* a waiting worker is answered after so long at the latest */
    int64_t stuck_ms;  /* a process that reads nothing for so long is killed */
    /* The check that `worker` asked for under `id` is done, or took too long. */
    void (*on_checked)(void *owner, uint64_t worker, uint64_t id);
    void *owner;
};

/* Returns a queue without processes: they are started when they are needed. NULL without memory. */
struct check_queue *check_queue_new(const struct check_queue_options *options, struct err *e);

/* Kills the processes and frees the queue; no waiting worker is answered. NULL-safe. */
void check_queue_free(struct check_queue *queue);

/* Takes a worker's request as it is in its frame; id 0: no worker waits for the answer. A request
 * that is malformed or beyond the limits is answered at once. */
void check_queue_ask(struct check_queue *queue, uint64_t worker, uint64_t id, struct str bytes);

#endif
