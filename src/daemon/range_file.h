/*
 * A file of the store that is read in parts (EXTENSIONS.md §3): opened once, each block checked
 * against its manifest before it is given away; a file of one block against its SHA-1. Blocks on
 * disk I/O: for worker processes.
 */
#ifndef DAEMON_RANGE_FILE_H
#define DAEMON_RANGE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "proto/line.h"
#include "proto/range_message.h"
#include "store/manifest_file.h"
#include "store/store.h"

struct range_file {
    char hash[SHA1_HEX + 1];
    char *path; /* for errors */
    int fd;
    struct stat opened; /* size and mtime must stay what they were */
    bool has_manifest;  /* else it is one block */
    struct manifest_file manifest;
    uint64_t page; /* whose leaves are in memory, or UINT64_MAX */
    unsigned char leaves[MANIFEST_PAGE_BYTES];
};

/* The errors of these functions name the file's path: they are not for the hub. */

/* Opens the file of that hash. Otherwise -1, with its *state: not found, building (there
 * is no manifest that counts; *size is its size), changed, error. Caller closes it. */
int range_file_open(const struct store *s, const char *hash, struct range_file *out,
                    enum range_state *state, int64_t *size, struct err *e) ERR_CHECKED;
void range_file_close(struct range_file *file);

/* Returns the state of a file, without opening it: RANGE_FOUND with its size and root ("" for one
 * block). */
enum range_state range_file_look(const struct store *s, const char *hash, int64_t *size,
                                 char root[RANGE_ROOT_DIGITS + 1], struct err *e);

/*
 * Reads block `i` into `data` of LINE_LEAF_BYTES; *len bytes. ERR_CHANGED when the file is not what
 * it was, ERR_FAILED when it cannot be read, ERR_NOT_FOUND when it has no such block.
 */
int range_file_read(struct range_file *file, uint32_t i, unsigned char *data, size_t *len,
                    struct err *e) ERR_CHECKED;

/* Reads `count` (1 to SHA256_LANES) blocks from `first` on into `data`, LINE_LEAF_BYTES each; their
 * hashes are computed side by side. For files with a manifest. -1 if one of them is not as it was:
 * range_file_read says which. */
int range_file_read_many(struct range_file *file, uint32_t first, size_t count,
                         unsigned char *data, struct err *e) ERR_CHECKED;

/* Reads the leaves of page j; *leaves is borrowed until the next call. */
int range_file_page(struct range_file *file, uint32_t j, struct str *leaves,
                    struct err *e) ERR_CHECKED;

#endif
