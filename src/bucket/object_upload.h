/*
 * An object while it is uploaded: written under a temporary name and locked, so that what a killed
 * process left is told from what is being written (where files cannot be locked, by its age);
 * visible under its own name only when size and SHA-1 are right and everything is on the disk.
 */
#ifndef BUCKET_OBJECT_UPLOAD_H
#define BUCKET_OBJECT_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "bucket/data_dir.h"

enum {
    OBJECT_UPLOAD_MAX_SHARED = 8, /* uploads at once under one name: a client's of one object */
    OBJECT_UPLOAD_WRITEBACK_BYTES = 8 << 20, /* the kernel is told to start writing so many */
    OBJECT_UPLOAD_LEFT_OVER_S = 24 * 3600    /* without locks: unwritten for so long, nobody's */
};

/* All zeros, then object_upload_open or object_upload_open_dry. */
struct object_upload {
    int fd;
    bool is_dry;
    struct buf temporary; /* path */
    int64_t size;         /* as promised */
    int64_t written, flushed;
    struct sha1 sha1;
    struct stat published; /* as object_upload_publish left it */
};

/* Codes: ERR_TOO_LARGE no room on the disk, ERR_FAILED anything else of ours. */
int object_upload_open(struct object_upload *file, const struct data_dir *dir, int64_t size,
                     struct err *e) ERR_CHECKED;

/* The same for one of a few at once: ERR_TAKEN when there are OBJECT_UPLOAD_MAX_SHARED of that
 * name, in all processes, already. */
int object_upload_open_shared(struct object_upload *file, const struct data_dir *dir,
                              const char *name, int64_t size, struct err *e) ERR_CHECKED;

/* For bytes that are there already: they are hashed and written nowhere, and object_upload_publish
 * only says whether they are right. */
void object_upload_open_dry(struct object_upload *file, int64_t size);

/* ERR_PROTOCOL beyond the promised size; else as above. */
int object_upload_write(struct object_upload *file, struct str data, struct err *e) ERR_CHECKED;

/* Checks size (ERR_PROTOCOL) and hash (ERR_CHANGED), syncs, renames to `path`, syncs the folder;
 * closes the file. */
int object_upload_publish(struct object_upload *file, const char *path, struct str hash,
                          struct err *e) ERR_CHECKED;

/* Closes and removes it. Safe on zeros and after object_upload_publish. */
void object_upload_discard(struct object_upload *file);

/* Removes what ended processes left below `dir`. */
void object_upload_clean(const char *dir);

#endif
