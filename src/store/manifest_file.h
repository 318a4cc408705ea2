/*
 * Manifests in the store (EXTENSIONS.md §2): one for each content that is larger than a block,
 * whatever shares it. Finds them, decides which count, and reads them page by page, each checked
 * against the hash above it. Writes nothing.
 */
#ifndef STORE_MANIFEST_FILE_H
#define STORE_MANIFEST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "proto/manifest.h"

struct store;

enum manifest_file_state {
    MANIFEST_FILE_NEEDLESS, /* there is none for this size */
    MANIFEST_FILE_ABSENT,   /* none is there, or one that does not count */
    MANIFEST_FILE_DAMAGED,  /* it counts, and is not one of this content */
    MANIFEST_FILE_UNKNOWN,  /* looking at it failed */
    MANIFEST_FILE_OK
};

/* Open, its root checked over the page hashes, which are in memory. */
struct manifest_file {
    int fd;
    struct manifest_head head;
    struct buf page_hashes;
};

/*
 * Opens the manifest of a hash. ERR_NOT_FOUND when there is none that counts: a regular file that
 * belongs to this process's user or root, into which nobody else can write (a member of a group
 * store could else make a daemon serve other bytes under this hash). ERR_PROTOCOL when it counts
 * and is not this content's. Caller closes it.
 */
int manifest_file_open(const struct store *s, const char *hash, struct manifest_file *out,
                       struct err *e) ERR_CHECKED;
void manifest_file_close(struct manifest_file *file);

/* Opens the manifest of a hash at a path, by the same rules; or in the same way the one that is
 * open as `fd`, which is taken over on success. */
int manifest_file_open_at(const char *path, const char *hash, struct manifest_file *out,
                          struct err *e) ERR_CHECKED;
int manifest_file_open_fd(int fd, const char *hash, struct manifest_file *out,
                          struct err *e) ERR_CHECKED;

/* Reads the leaves of page j, manifest_leaves_in_page of them. ERR_PROTOCOL when they do not have
 * the page's hash. */
int manifest_file_read_page(const struct manifest_file *file, uint64_t j,
                            unsigned char leaves[MANIFEST_PAGE_BYTES], struct err *e) ERR_CHECKED;

/* Returns whether there is a manifest for a content of this size, by its head and page hashes. */
bool manifest_file_is_whole(const struct store *s, const char *hash, int64_t size);

/* Returns the state of the manifest for a content of this size, by its head and length alone. */
enum manifest_file_state manifest_file_look(const struct store *s, const char *hash, int64_t size);

/* Returns the same by all of its bytes. It must have this root, unless that is NULL. */
enum manifest_file_state manifest_file_check(const struct store *s, const char *hash, int64_t size,
                                             const unsigned char *root);

/* Returns the same of the manifest at a path. */
enum manifest_file_state manifest_file_check_at(const char *path, const char *hash, int64_t size,
                                                const unsigned char *root);

#endif
