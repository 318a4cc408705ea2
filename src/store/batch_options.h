/* The options of a batch: for its owner (batch.h) and its processes (batch_worker.h). */
#ifndef STORE_BATCH_OPTIONS_H
#define STORE_BATCH_OPTIONS_H

#include <stdbool.h>

#include "loop/loop.h"
#include "store/store.h"

enum batch_work {
    BATCH_LINK, /* as add_file: a link */
    BATCH_COPY, /* a copy */
    BATCH_HASH  /* read all and hash, whatever the cache has */
};

struct batch_item;

struct batch_options {
    struct loop_wake wake; /* when it is to be stepped: results came, or a commit is due */
    const struct store *store;
    enum batch_work work;
    bool makes_manifests; /* of what is added; BATCH_HASH checks them */
    unsigned jobs; /* processes at most, 1 to POOL_MAX_WORKERS */
    void (*on_result)(void *owner, struct batch_item *item);
    void *owner;
};

#endif
