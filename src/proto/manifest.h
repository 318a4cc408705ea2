/*
 * Manifests (EXTENSIONS.md §2): the SHA-256 of each block of a file, so that a part of it can be
 * proven. Their bytes in and out, and the sums over them; no files, no clock.
 *
 *     "kchmfst1" | size, 8 bytes LE | SHA-1, 20 | root, 32 | page hashes, 32 each | leaves, 32 each
 *
 * Leaf i is the hash of block i of MANIFEST_LEAF_BYTES, page j that of its up to
 * MANIFEST_PAGE_LEAVES leaves, the root that of a text, size, SHA-1 and all page hashes.
 */
#ifndef PROTO_MANIFEST_H
#define PROTO_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "base/str.h"

enum {
    MANIFEST_LEAF_BYTES = 262144,
    MANIFEST_PAGE_LEAVES = 1024,
    MANIFEST_PAGE_BYTES = MANIFEST_PAGE_LEAVES * SHA256_SIZE, /* of the manifest */
    MANIFEST_HEAD_BYTES = 68
};

/* Of larger files (256 TiB) there is none: their page hashes alone are more than 32 MiB. */
#define MANIFEST_MAX_SIZE (INT64_C(1) << 48)

/* Returns whether a file of this size has a manifest: smaller ones are a single block, proven by
 * the SHA-1. */
bool manifest_is_for(int64_t size);

/* Return the number of leaves, and of pages of them, that a file of this size has. */
uint64_t manifest_leaf_count(int64_t size);
uint64_t manifest_page_count(int64_t size);

/* Return the bytes in block i, and the leaves in page j; 0 beyond the end. */
size_t manifest_block_bytes(int64_t size, uint64_t i);
size_t manifest_leaves_in_page(int64_t size, uint64_t j);

/* Return the offset of page j's hash in the manifest, that of the page's first leaf, and the length
 * of the manifest, in bytes. */
int64_t manifest_hash_offset(uint64_t j);
int64_t manifest_page_offset(int64_t size, uint64_t j);
int64_t manifest_length(int64_t size);

struct manifest_head {
    int64_t size; /* of the file */
    unsigned char sha1[SHA1_SIZE], root[SHA256_SIZE];
};

/* Writes the first MANIFEST_HEAD_BYTES of a manifest. */
void manifest_put_head(const struct manifest_head *head, unsigned char out[MANIFEST_HEAD_BYTES]);

/* Takes the first bytes of a manifest apart. ERR_PROTOCOL, naming the fault, when they are none:
 * too few, another magic, a size of which there is no manifest. */
int manifest_parse_head(struct manifest_head *out, struct str text, struct err *e) ERR_CHECKED;

/* Begins the root: sha256_update takes all page hashes, in order, and sha256_final ends it. */
void manifest_root_begin(struct sha256 *h, int64_t size, const unsigned char sha1[SHA1_SIZE]);

/* Computes the root of page hashes that are all in memory. */
void manifest_root_of(int64_t size, const unsigned char sha1[SHA1_SIZE], struct str page_hashes,
                      unsigned char root[SHA256_SIZE]);

/* --- making one --- */

/* Of a file as it is read. */
struct manifest_maker {
    /* Called with the leaves of each page that is full, and of the last; may be NULL. */
    int (*take_page)(void *owner, uint64_t j, struct str leaves, struct err *e);
    void *owner;
    int64_t size;           /* of the bytes up to now */
    struct buf page_hashes; /* of the pages up to now */
    size_t leaf_count;      /* in the page at hand */
    unsigned char leaves[MANIFEST_PAGE_LEAVES][SHA256_SIZE];
};

/* Begins anew; what it had is forgotten. It must have been all zeros, or initialised, before. */
void manifest_maker_init(struct manifest_maker *m);
void manifest_maker_deinit(struct manifest_maker *m);

/* Hashes blocks, of one file or of several: at most MANIFEST_LEAF_BYTES each, and less only at the
 * end of a file. sha256_lanes() of them or a multiple are fastest. */
void manifest_hash_blocks(const struct str *blocks, size_t count,
                          unsigned char (*leaves)[SHA256_SIZE]);

/* Takes the leaves of the next `bytes` bytes of the file: of whole blocks; the last call of a file
 * alone may end within a block. */
int manifest_maker_take(struct manifest_maker *m, const unsigned char (*leaves)[SHA256_SIZE],
                        int64_t bytes, struct err *e) ERR_CHECKED;

/* Ends the file: passes on the last page and fills the head. */
int manifest_maker_end(struct manifest_maker *m, const unsigned char sha1[SHA1_SIZE],
                       struct manifest_head *out, struct err *e) ERR_CHECKED;

#endif
