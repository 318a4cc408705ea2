/*
 * Hashes that were computed before, shared with the Python client: one record per path, for files
 * above 1,000,000 bytes. A cache: what cannot be read is missing, what cannot be written is not
 * kept, and neither is an error.
 */
#ifndef STORE_HASH_CACHE_H
#define STORE_HASH_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "store/store.h"

enum { HASH_CACHE_MIN_SIZE = 1000001, HASH_CACHE_MIN_AGE_MS = 2000 };

/* Appends the name of the record for `path`. */
void hash_cache_put_path(const struct store *s, const char *path, struct buf *out);

/* Finds the record for this path with this size and mtime, and copies its hash. Returns false when
 * there is none. */
bool hash_cache_get(const struct store *s, const char *path, const struct stat *st,
                    char hash[SHA1_HEX + 1]);

/* Keeps a hash of a file as `st` describes it, whose reading began at `began_ms` (wall time). The
 * hash of a file that was changed less than HASH_CACHE_MIN_AGE_MS before is not kept: a later
 * change could leave the same mtime. */
void hash_cache_put(const struct store *s, const char *path, const struct stat *st,
                    const char *hash, int64_t began_ms);

/* Removes the record of a path that was found to be wrong. */
void hash_cache_forget(const struct store *s, const char *path);

#endif
