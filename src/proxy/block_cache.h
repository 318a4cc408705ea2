/*
 * Blocks of files that a relay has read from hosts (EXTENSIONS.md §3). Checked blocks are kept in
 * memory, all of them on the disk, in sparse files:
 *     <dir>/<sha1>-<root>/<segment>    256 blocks of 262,144 bytes, then a bit for each that is
 *                                      there
 * A block of the disk is checked whenever it enters memory: against its hash, or against a
 * fingerprint that was taken when it had its hash in this process. Therefore nothing is synced: a
 * crash, a full disk, rot, and a stranger's hand cost another fetch from the host, never a wrong
 * byte. The segments that were not used for longest are removed for new ones. Blocks on
 * disk I/O; one process for each <dir>.
 */
#ifndef PROXY_BLOCK_CACHE_H
#define PROXY_BLOCK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    BLOCK_BYTES = 262144,
    BLOCK_SEGMENT_BLOCKS = 256,
    BLOCK_ROOT_BYTES = 32,
    BLOCK_CACHE_MEMORY_BLOCKS = 64,    /* 16 MiB */
    BLOCK_CACHE_MAX_SEGMENTS = 32768,  /* that are known at a time: 64 bytes of memory each */
    BLOCK_CACHE_MAX_PRINTS = 1024,     /* segments with fingerprints: 4 KiB of memory each */
    BLOCK_CACHE_REST_MS = 30000        /* without writing after a write that failed */
};

struct block_cache;

struct block_cache_options {
    const char *dir;        /* it and the folder that it is in are made if missing, 0700; copied */
    int64_t max_disk_bytes; /* 0: nothing is kept on the disk */
    /* True for the files of this process. NULL: all of them. `sha1` is 40 digits. */
    bool (*is_ours)(void *owner, struct str sha1);
    void *owner;
};

/* Opens the cache and reads which blocks the disk has. A folder that cannot be made or read is
 * logged, and tried again when there are blocks to keep. NULL and *e without memory. */
struct block_cache *block_cache_new(const struct block_cache_options *options, struct err *e);
void block_cache_free(struct block_cache *cache); /* NULL-safe; what is on the disk stays */

/* A file whose blocks are kept. Two roots of one SHA-1 are two files. */
struct block_file;

/* Returns the file of that SHA-1 (40 digits), root and size in bytes. It is closed as often as it
 * was opened. NULL without memory. */
struct block_file *block_cache_open(struct block_cache *cache, struct str sha1,
                                    const unsigned char root[BLOCK_ROOT_BYTES], int64_t size,
                                    struct err *e);
void block_cache_close(struct block_cache *cache, struct block_file *file);

/* Returns the bytes of block `i`, borrowed until the next call with this cache; an empty string if
 * it is not there. `hash` is what the block must have: 20 bytes are its SHA-1, 32 its SHA-256. */
struct str block_cache_get(struct block_cache *cache, struct block_file *file, uint32_t i,
                           struct str hash);

/*
 * Brings blocks of the disk into memory, of `count` (at most SHA256_LANES) from `first` on, until
 * one is not there: they are checked side by side, which takes little longer than one. `hashes` are
 * of 32 bytes. Blocks that are found damaged are forgotten, as by block_cache_get.
 */
void block_cache_load(struct block_cache *cache, struct block_file *file, uint32_t first,
                      const struct str *hashes, size_t count);

/* Brings blocks in the same way from a file of this content that is open as `fd`; a single one may
 * have a hash of 20 bytes. They are not kept on the disk. Returns how many are in memory now, from
 * the first on: fewer than `count` where one is there already, or is not right. */
size_t block_cache_read(struct block_cache *cache, struct block_file *file, int fd, uint32_t first,
                        const struct str *hashes, size_t count);

/* Returns whether block_cache_get has the block in memory or would look at the disk. */
bool block_cache_may_have(const struct block_cache *cache, const struct block_file *file,
                          uint32_t i);

/* Returns whether block_cache_get has the block in memory. */
bool block_cache_is_in_memory(const struct block_cache *cache, const struct block_file *file,
                              uint32_t i);

/* Keeps a copy of the bytes of block `i`, which the caller has checked. A write that fails is
 * logged and is no error. Returns false without memory, and for bytes that are not as many as the
 * block has. */
bool block_cache_put(struct block_cache *cache, struct block_file *file, uint32_t i,
                     struct str bytes);

/* Memory for one block, which children of this process do not get. NULL: there is none. */
unsigned char *block_cache_new_memory(void);
void block_cache_free_memory(unsigned char *memory); /* NULL-safe */

/* Keeps the `len` bytes in such memory as block_cache_put does, without a copy: *bytes is then
 * other such memory, unless false is returned. */
bool block_cache_exchange(struct block_cache *cache, struct block_file *file, uint32_t i,
                          unsigned char **bytes, size_t len);

/* Lets the memory of block i be the next to be used for another block. */
void block_cache_release(struct block_cache *cache, const struct block_file *file, uint32_t i);

/* Returns whether the bytes have this hash: 20 bytes are their SHA-1, 32 their SHA-256. */
bool block_cache_has_hash(struct str bytes, struct str hash);

/* Whether the disk has blocks of that SHA-1 (40 digits), by whatever root. */
bool block_cache_has_some(const struct block_cache *cache, struct str sha1);

/* Returns the bytes of the blocks on the disk, without holes. */
int64_t block_cache_disk_bytes(const struct block_cache *cache);

#endif
