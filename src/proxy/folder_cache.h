/*
 * The folder indexes that a relay serves paths of (EXTENSIONS.md §3 "Folders"): each is read whole,
 * from the bucket or from hosts, its SHA-1 compared, and kept parsed while there is room for it.
 * One reading however many wait for it. It knows no HTTP and no permissions.
 */
#ifndef PROXY_FOLDER_CACHE_H
#define PROXY_FOLDER_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "access/zone_files.h"
#include "bucket/bucket.h"
#include "proto/folder_index.h"
#include "proxy/relay.h"

enum {
    FOLDER_CACHE_MAX_BYTES = 16 << 20, /* of all that nobody uses now, parsed */
    FOLDER_CACHE_MAX_IDLE = 256,       /* of those */
    FOLDER_CACHE_NONE_MS = 10000       /* that something is no index is remembered */
};

struct folder_cache;
struct cached_folder;

struct folder_cache_options {
    struct loop *loop;
    struct relay *relay;
    struct bucket *bucket; /* borrowed */
};

/* Returns an empty cache. NULL without memory. */
struct folder_cache *folder_cache_new(const struct folder_cache_options *options, struct err *e);
void folder_cache_free(struct folder_cache *cache); /* NULL-safe; no reader may be left */

enum folder_state {
    FOLDER_WAIT,   /* on_change comes */
    FOLDER_READY,
    FOLDER_ABSENT, /* there is no file of that hash, and none is expected */
    FOLDER_NONE,   /* it is no index */
    FOLDER_FAILED  /* it is not known; the log has the reason */
};

/* One user of one index, in the memory of its owner: not moved while it is started. */
struct folder_reader {
    void (*on_change)(void *owner);
    void *owner;
    struct cached_folder *folder; /* the rest is the cache's */
    struct folder_reader *previous, *next;
    struct loop_call change;
};

/* Begins to use the index of that SHA-1 (40 lower-case digits) in that zone, which is read unless
 * it is here or is being read. The owner looks at once: on_change comes for later changes alone.
 * False without memory, and for a zone whose name or directory is too long. */
bool folder_reader_start(struct folder_cache *cache, struct folder_reader *reader,
                         const struct zone *zone, struct str sha1);

/* Returns the state; with FOLDER_READY *index is borrowed until the reader is stopped. */
enum folder_state folder_reader_look(struct folder_reader *reader,
                                     const struct folder_index **index);

/* Ends the use: on_change does not come any more. Safe on a reader that was not started or was
 * stopped. */
void folder_reader_stop(struct folder_reader *reader);

#endif
