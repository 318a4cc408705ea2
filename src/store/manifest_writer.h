/*
 * Makes the manifest of a file while it is read, under a temporary name: in the store, where it is
 * staged to be published by a rename like a record (store/add.h), or beside another path. Of a file
 * of more than a page, the leaves are written as they come: they may be more than fits in memory.
 */
#ifndef STORE_MANIFEST_WRITER_H
#define STORE_MANIFEST_WRITER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/newfile.h"
#include "base/sha1.h"
#include "proto/manifest.h"

struct store;

enum { MANIFEST_SUFFIX_SIZE = 32 };

struct manifest_writer {
    const struct store *store; /* where the temporary file is made */
    const char *beside;        /* or beside this path; both NULL: the head alone is wanted */
    int64_t size;              /* that the file is to have */
    struct manifest_head head; /* of a file of that size, after manifest_writer_end */
    struct str only_page;      /* of a file of one page */
    struct newfile file;       /* once there is something to write */
    struct manifest_maker maker;
};

/* Begins a writer, before its first use; manifest_writer_discard ends it. */
void manifest_writer_init(struct manifest_writer *w, const struct store *store);

/* Begins a writer whose temporary file is beside `path` (borrowed), which need not exist. */
void manifest_writer_init_beside(struct manifest_writer *w, const char *path);

/* Begins (again) with a file that is to have this size, of which there is a manifest. */
void manifest_writer_begin(struct manifest_writer *w, int64_t size);

/* Takes the leaves of the next bytes of the file, as manifest_maker_take. */
int manifest_writer_take(struct manifest_writer *w, const unsigned char (*leaves)[SHA256_SIZE],
                         int64_t bytes, struct err *e) ERR_CHECKED;

/* Hashes and takes the next bytes of the file: whole blocks, except at its end. */
int manifest_writer_add(struct manifest_writer *w, struct str data, struct err *e) ERR_CHECKED;

/* Ends the reading. A file that turned out to have another size has no manifest, which is no error:
 * the reader sees that it changed. */
int manifest_writer_end(struct manifest_writer *w, const unsigned char sha1[SHA1_SIZE],
                        struct err *e) ERR_CHECKED;

/* Completes the temporary file, once the file is known not to have changed, and empties the writer.
 * The part of its name behind store_put_manifest_staging_path's is put in `suffix`: "" when the
 * store has this manifest already. */
int manifest_writer_stage(struct manifest_writer *w, char suffix[MANIFEST_SUFFIX_SIZE],
                          struct err *e) ERR_CHECKED;

/* Completes the temporary file of a writer of the second kind and renames it to `path`. It is not
 * synced: what a crash leaves of it does not have its root. Empties the writer. */
int manifest_writer_publish(struct manifest_writer *w, const char *path, struct err *e) ERR_CHECKED;

/* Removes what was written. */
void manifest_writer_discard(struct manifest_writer *w);

#endif
