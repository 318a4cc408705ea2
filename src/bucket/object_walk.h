/* All objects of a bucket in a folder, in byte order of their keys: those of some zones, by their
 * directories. Only names that are object keys are looked at. */
#ifndef BUCKET_OBJECT_WALK_H
#define BUCKET_OBJECT_WALK_H

#include <stdbool.h>

#include "base/err.h"
#include "bucket/data_dir.h"
#include "bucket/names.h"

struct object_walk {
    const struct data_dir *dir;
    const struct names *directories; /* of the zones; "" has none */
    struct str after;                /* keys up to this one are left out; empty: none */
    bool (*on_object)(void *ctx, struct str key); /* false ends the walk */
    /* A folder that cannot be read; the walk goes on. A file that goes meanwhile is no error. */
    void (*on_error)(void *ctx, const struct err *e);
    void *ctx;
};

/* Walks through the objects. Returns 0 at the end, 1 when on_object ended the walk, -1 and *e when
 * it could not begin. */
int object_walk(const struct object_walk *walk, struct err *e) ERR_CHECKED;

#endif
