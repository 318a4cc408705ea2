/*
 * Makes an object of the bucket of a host's file while a reader takes all of it (EXTENSIONS.md §3
 * "findFile"): its bytes go to the bucket as they go to the reader, once. The bucket publishes them
 * if their SHA-1 is right, and syncs in another process. It is a favour: a failure is logged, and
 * the reader does not notice.
 */
#ifndef PROXY_RANGE_KEEP_H
#define PROXY_RANGE_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "access/zone_files.h"
#include "base/str.h"
#include "bucket/bucket.h"

enum { RANGE_KEEP_MAX = 4 /* files at a time */ };

/* The files that are being kept. All zeros is none. */
struct range_keeps {
    struct bucket *bucket;
    struct range_keep *first;
    size_t count;
};

struct range_keep;

/* Begins to keep a file of that size. `on_ready` follows whenever it takes bytes again. NULL when
 * it is not kept: too many are, this one is already, or without memory. */
struct range_keep *range_keep_begin(struct range_keeps *all, const struct zone *zone,
                                    struct str sha1, int64_t size, void (*on_ready)(void *owner),
                                    void *owner);

/* Returns true until on_ready comes: it takes no bytes. `keep` may be NULL. */
bool range_keep_is_busy(const struct range_keep *keep);

/* Takes the next bytes of the file. It is not busy before. `keep` may be NULL. */
void range_keep_add(struct range_keep *keep, struct str bytes);

/* Ends the bytes: all of them came, and had the file's SHA-1 as far as is known, or not. The keep
 * is not its owner's any more. NULL-safe. */
void range_keep_end(struct range_keep *keep, bool is_whole);

/* Drops all, those that wait for the bucket, too. */
void range_keeps_free(struct range_keeps *all);

#endif
