/*
 * An object while it is uploaded: written under a temporary name and locked, so that what a killed
 * process left is told from what is being written (where files cannot be locked, by its age);
 * visible under its own name only when size and SHA-1 are right and everything is on the disk.
 */
#ifndef BUCKET_BUCKET_FILE_H
#define BUCKET_BUCKET_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "bucket/site.h"

enum {
    BUCKET_FILE_MAX_SHARED = 8, /* uploads at once under one name: a client's of one object */
    BUCKET_FILE_WRITEBACK_BYTES = 8 << 20, /* the kernel is told to start writing so many */
    BUCKET_FILE_LEFT_OVER_S = 24 * 3600    /* without locks: unwritten for so long, nobody's */
};

/* All zeros, then bucket_file_open or bucket_file_open_dry. */
struct bucket_file {
    int fd;
    bool is_dry;
    struct buf temporary; /* path */
    int64_t size;         /* as promised */
    int64_t written, flushed;
    struct sha1 sha1;
    struct stat published; /* as bucket_file_publish left it */
};

/* Codes: ERR_TOO_LARGE no room on the disk, ERR_FAILED anything else of ours. */
int bucket_file_open(struct bucket_file *file, const struct site *site, int64_t size,
                     struct err *e) ERR_CHECKED;

/* The same for one of a few at once: ERR_TAKEN when there are BUCKET_FILE_MAX_SHARED of that name,
 * in all processes, already. */
int bucket_file_open_shared(struct bucket_file *file, const struct site *site, const char *name,
                            int64_t size, struct err *e) ERR_CHECKED;

/* For bytes that are there already: they are hashed and written nowhere, and bucket_file_publish
 * only says whether they are right. */
void bucket_file_open_dry(struct bucket_file *file, int64_t size);

/* ERR_PROTOCOL beyond the promised size; else as above. */
int bucket_file_write(struct bucket_file *file, struct str data, struct err *e) ERR_CHECKED;

/* Checks size (ERR_PROTOCOL) and hash (ERR_CHANGED), syncs, renames to `path`, syncs the folder;
 * closes the file. */
int bucket_file_publish(struct bucket_file *file, const char *path, struct str hash, struct err *e)
    ERR_CHECKED;

/* Closes and removes it. Safe on zeros and after bucket_file_publish. */
void bucket_file_discard(struct bucket_file *file);

/* Removes what ended processes left below `dir`. */
void bucket_file_clean(const char *dir);

#endif
