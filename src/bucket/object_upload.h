/*
 * An object while it is uploaded: a file that newfile.h holds in the folder of uploads; visible
 * under its own name only when size and SHA-1 are right and everything is on the disk.
 */
#ifndef BUCKET_OBJECT_UPLOAD_H
#define BUCKET_OBJECT_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/newfile.h"
#include "base/sha1.h"
#include "bucket/data_dir.h"

enum {
    OBJECT_UPLOAD_MAX_SHARED = 8, /* uploads at once under one name: a client's of one object */
    OBJECT_UPLOAD_WRITEBACK_BYTES = 8 << 20  /* the kernel is told to start writing so many */
};

/* All zeros, then object_upload_open or object_upload_open_dry. */
struct object_upload {
    struct newfile temporary; /* NEWFILE_NONE: dry */
    bool is_dry;
    int64_t size; /* as promised */
    int64_t written, flushed;
    struct sha1 sha1;
    struct stat published; /* as object_upload_publish left it */
};

/* Begins an upload of `size` bytes, of at most OBJECT_UPLOAD_MAX_SHARED with this name at a time in
 * all processes: ERR_TAKEN when there are as many already. ERR_TOO_LARGE when the disk has no room,
 * ERR_FAILED for any other failure. object_upload_publish or object_upload_discard ends it. */
int object_upload_open(struct object_upload *file, const struct data_dir *dir, const char *name,
                       int64_t size, struct err *e) ERR_CHECKED;

/* Begins an upload of an object that is there already: its bytes are hashed and not written, and
 * object_upload_publish only checks them. */
void object_upload_open_dry(struct object_upload *file, int64_t size);

/* Writes the next bytes. ERR_PROTOCOL beyond the promised size; else as object_upload_open. */
int object_upload_write(struct object_upload *file, struct str data, struct err *e) ERR_CHECKED;

/* Checks size (ERR_PROTOCOL) and hash (ERR_CHANGED), syncs, renames to `path`, syncs the folder;
 * closes the file. */
int object_upload_publish(struct object_upload *file, const char *path, struct str hash,
                          struct err *e) ERR_CHECKED;

/* Closes and removes the temporary file. Safe on zeros and after object_upload_publish. */
void object_upload_discard(struct object_upload *file);

/* Removes the uploads that ended processes left in the data directory `dir`. Failures are no
 * errors: the next call tries again. */
void object_upload_clean(const char *dir);

#endif
