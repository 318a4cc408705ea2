/*
 * Reading files to hash them: opening without blocking, one loop that hashes and may copy, and
 * noticing that a file changes meanwhile. Errors here name the cause alone: callers know the path.
 */
#ifndef STORE_HASH_H
#define STORE_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/sha1.h"
#include "store/follow.h"
#include "store/manifest_file.h"
#include "store/manifest_writer.h"
#include "store/store.h"

/* Told after each chunk how much of the file has been read; false ends the reading. */
struct hash_watch {
    bool (*go_on)(void *ctx, int64_t bytes);
    void *ctx;
};

struct hash_job {
    int from;
    int to;         /* the bytes are also written here; -1: nowhere */
    bool is_sparse; /* of `to`: leave holes for zeros (its size is then set at the end) */
    /* Reading stops beyond the size that the file had here: a file that grows without end is not
     * read without end. NULL: no such bound. */
    const struct stat *as_opened;
    struct manifest_writer *manifest; /* begun for the size as opened, gets all bytes; or NULL */
    const struct hash_watch *watch; /* may be NULL */
    char hash[SHA1_HEX + 1];        /* result */
    int64_t size;                   /* result: bytes read */
};

/* Reads `from` to its end. */
int hash_run(struct hash_job *job, struct err *e) ERR_CHECKED;

/* Opens a regular file for reading; anything else is refused with its kind, and never waited for
 * or disturbed (FIFOs, devices). `follow` NULL: as FOLLOW_ALL. */
int hash_open(const char *path, const struct follow *follow, int *fd, struct stat *st,
              struct err *e) ERR_CHECKED;

/* Returns true when size and mtime of the open file are still as in `before`. */
bool hash_is_unchanged(int fd, const struct stat *before);

/* Returns words for a file that is not regular: "a directory", "a FIFO"; NULL for a regular one. */
const char *hash_kind_of(mode_t mode);

enum hash_flags {
    HASH_USE_CACHE = 1, /* answer from the hash cache when it knows the file, and fill it */
    /* Stage the manifest of the bytes that are read; the cache answers only where it is there. */
    HASH_MAKE_MANIFEST = 2,
    HASH_CHECK_MANIFEST = 4 /* compare the one in the store with the bytes that are read */
};

struct hash_options {
    unsigned flags;
    const struct hash_watch *watch;  /* may be NULL */
    const struct follow *follow;     /* may be NULL: as FOLLOW_ALL */
};

struct hash_result {
    char hash[SHA1_HEX + 1];
    int64_t size;
    double mtime;
    struct file_id id;
    char manifest[MANIFEST_SUFFIX_SIZE]; /* of the staged one: the caller publishes or removes it */
    enum manifest_file_state manifest_state; /* with HASH_CHECK_MANIFEST */
};

/* Hashes a file; one that changes meanwhile is read again once, then ERR_CHANGED. `options` may be
 * NULL. */
int hash_file(const struct store *s, const char *path, const struct hash_options *options,
              struct hash_result *out, struct err *e) ERR_CHECKED;

#endif
