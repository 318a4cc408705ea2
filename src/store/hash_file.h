/*
 * Hashing a file that nobody changes meanwhile, through the hash cache, and making or checking its
 * manifest: one file, or several side by side. Errors here name the cause alone: callers know the
 * path.
 */
#ifndef STORE_HASH_FILE_H
#define STORE_HASH_FILE_H

#include "store/hash.h"
#include "store/store.h"

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

/* --- several side by side --- */

/*
 * A file in hand:   begin ──► HASH_READS ──► HASH_ENDED (its result is there), HASH_FAILED
 */
struct hash_file {
    const struct store *store;
    const char *path;            /* borrowed */
    struct hash_options options; /* its pointers are borrowed */
    enum hash_progress progress;
    struct err error; /* if it failed */
    /* Of the attempt at hand: */
    struct hash_job job;
    struct stat st;
    struct manifest_writer manifest;
    int64_t began_ms;
    int tries;
    bool is_read; /* the hash is not from the cache */
};

/* Begins with a file, which may have ended, by the hash cache, or failed at once. */
void hash_file_begin(struct hash_file *f, const struct store *s, const char *path,
                     const struct hash_options *options);

/* Reads some bytes of each of 1 to HASH_JOBS files that read. */
void hash_file_step(struct hash_file *const files[], size_t count);

/* Ends with a file, wherever it stands, and returns its result: of one that reads, ERR_FAILED. */
int hash_file_end(struct hash_file *f, struct hash_result *out, struct err *e) ERR_CHECKED;

#endif
