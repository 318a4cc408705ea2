/*
 * The manifests of a folder's objects (EXTENSIONS.md §2), below .hub/manifests/ by their
 * hashes. The server makes each itself while it receives or checks the object, and no one else can
 * write there: such a root is proven. A manifest that is lost or damaged costs another reading of
 * its object and nothing else.
 */
#ifndef BUCKET_OBJECT_MANIFEST_H
#define BUCKET_OBJECT_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha1.h"
#include "base/str.h"
#include "bucket/data_dir.h"
#include "store/manifest_file.h"
#include "store/manifest_writer.h"

enum { OBJECT_MANIFEST_LANES = 8 }; /* blocks of an upload that are hashed at once, at most */

/* Opens an object's manifest for reading. Returns the descriptor, which is not checked
 * (manifest_file_open_fd), or -1. */
int object_manifest_open(const struct data_dir *dir, struct str key);

/* Returns whether there is a manifest for an object of this size, by its head and page hashes; true
 * for a size that needs none. */
bool object_manifest_is_there(const struct data_dir *dir, struct str key, int64_t size);

/* Removes the manifest of an object that is gone. */
void object_manifest_remove(const struct data_dir *dir, struct str key);

/* The end of a manifest whose object was read and was right. */
enum object_manifest_end {
    OBJECT_MANIFEST_KEPT,    /* it was there and is right, or none is needed */
    OBJECT_MANIFEST_MADE,    /* there was none */
    OBJECT_MANIFEST_MENDED,  /* there was another one */
    OBJECT_MANIFEST_FAILED   /* it could not be written: *e says why */
};

/* A manifest while its object is read or received. All zeros is none. */
struct object_manifest {
    const struct data_dir *dir;
    struct buf beside;
    struct manifest_writer writer;
    bool is_begun;
    unsigned char *window; /* of bytes that come in pieces */
    size_t room, filled;
};

/* Begins one for an object of this size: false, and nothing is to be done, for a size that needs
 * none and without memory. `writer` is then begun, for a reader of whole blocks (hash_run).
 * object_manifest_discard ends it in any case. */
bool object_manifest_begin(struct object_manifest *m, const struct data_dir *dir, int64_t size);

/* Takes the object's next bytes, in pieces of any size. A failure is logged, and there will be no
 * manifest. */
void object_manifest_add(struct object_manifest *m, struct str bytes);

/* Ends the bytes of object_manifest_add, which have this hash. */
void object_manifest_end(struct object_manifest *m, struct str hash);

/* Publishes the manifest of an object that was found right, if it is not there. */
enum object_manifest_end object_manifest_publish(struct object_manifest *m, struct str key,
                                                 struct err *e);

/* Frees it, and removes what was written and is not published. Safe on zeros and repeated. */
void object_manifest_discard(struct object_manifest *m);

#endif
