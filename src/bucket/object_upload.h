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

/* The client in the names of uploads that are left to the checking process; no client has it. */
#define OBJECT_UPLOAD_KEPT "+kept"

/* Writes the name of an upload's place: one for each key and client. */
void object_upload_name(struct str key, struct str client, char name[SHA1_HEX + 1]);

/* Appends the path of the upload of an object that is left to the checking process. */
void object_upload_put_kept_path(const struct data_dir *dir, struct str key, struct buf *out);

/* Checks the size (ERR_PROTOCOL) and the hash (ERR_CHANGED) of an upload that is left to the
 * checking process, whose bytes all came. */
int object_upload_check(struct object_upload *file, struct str hash, struct err *e) ERR_CHECKED;

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

/* Does the same with an upload that was found right: its temporary file is all that is used. */
int object_upload_put_in_place(struct object_upload *file, const char *path,
                               struct err *e) ERR_CHECKED;

/* Closes and removes the temporary file. Safe on zeros and after object_upload_publish. */
void object_upload_discard(struct object_upload *file);

/* Removes the uploads that ended processes left in the data directory `dir`. Failures are no
 * errors: the next call tries again. */
void object_upload_clean(const char *dir);

#endif
