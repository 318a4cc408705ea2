/*
 * Reading files to hash them: opening without blocking, one loop that hashes, also several files
 * side by side, and may copy, and noticing that a file changes meanwhile. Errors here name the
 * cause alone: callers know the path.
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

/* Told after each chunk how much of the file has been read; false ends the reading. */
struct hash_watch {
    bool (*go_on)(void *ctx, int64_t bytes);
    void *ctx;
};

enum hash_progress { HASH_READS, HASH_ENDED, HASH_FAILED };

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

    enum hash_progress progress; /* after hash_begin */
    struct err error;            /* if it failed */
    struct sha1 sha1;            /* the job's own, up to the end */
    bool is_at_end;
    unsigned char *window;
    size_t filled;
};

enum { HASH_JOBS = SHA1_LANES }; /* that may be read side by side */

/* Reads `from` to its end. */
int hash_run(struct hash_job *job, struct err *e) ERR_CHECKED;

/* Begins a job, which then reads. */
void hash_begin(struct hash_job *job);

/* Reads some bytes of each of 1 to HASH_JOBS jobs that read, and hashes them side by side. Each
 * goes on reading, has ended, or has failed, whatever becomes of the others. */
void hash_step(struct hash_job *const jobs[], size_t count);

/* Opens a regular file for reading; anything else is refused with its kind, and never waited for
 * or disturbed (FIFOs, devices). `follow` NULL: as FOLLOW_ALL. */
int hash_open(const char *path, const struct follow *follow, int *fd, struct stat *st,
              struct err *e) ERR_CHECKED;

/* Returns true when size and mtime of the open file are still as in `before`. */
bool hash_is_unchanged(int fd, const struct stat *before);

/* Returns words for a file that is not regular: "a directory", "a FIFO"; NULL for a regular one. */
const char *hash_kind_of(mode_t mode);

#endif
