/*
 * Checks and removes objects as files of the bucket's folder: an object is read to see whether it
 * has its hash, which also makes its manifest, or taken away. The module does not trust that the
 * file of a path stays the same one: an upload may replace it at any moment.
 */
#ifndef BUCKET_OBJECT_H
#define BUCKET_OBJECT_H

#include "base/err.h"
#include "bucket/checked.h"
#include "bucket/object_manifest.h"
#include "store/hash.h"

enum object_state {
    OBJECT_OK,
    OBJECT_DAMAGED,
    OBJECT_MISSING, /* or no regular file */
    OBJECT_UNKNOWN  /* it changed while it was read, or could not be opened: *e says why */
};

/* Returns "ok", "damaged", "missing" or "unknown"; static. */
const char *object_state_name(enum object_state state);

struct object_facts {
    int64_t size_bytes; /* of the file */
    enum object_manifest_end manifest; /* of an object that was read and is OBJECT_OK */
};

/*
 * Reads the object `key`, remembers the result (checked.h) and makes its manifest if that is not
 * there or is not right. A result that is at most `believed_s` seconds old counts, and nothing is
 * read if there is a manifest, too (-1: never). An object that the disk cannot read is damaged.
 * `watch` may be NULL; a reading that it ends is OBJECT_UNKNOWN. With OBJECT_MANIFEST_FAILED *e
 * is set beside OBJECT_OK.
 */
enum object_state object_check(const struct data_dir *dir, struct str key, int64_t believed_s,
                               const struct hash_watch *watch, struct object_facts *facts,
                               struct err *e);

/*
 * Publishes the upload of the object `key` that is left to the checking process
 * (object_upload_put_kept_path), if there is one whose bytes have the hash of the key: with its
 * manifest, and durable. Leaves another one as it is. Returns OBJECT_OK, OBJECT_MISSING if there is
 * none, OBJECT_UNKNOWN and *e otherwise.
 */
enum object_state object_publish_kept(const struct data_dir *dir, struct str key,
                                      const struct hash_watch *watch, struct err *e);

/*
 * Removes the object `key`. A file that is known to be damaged is moved aside first. If a good file
 * came in its place at that moment, it is put back, unless another one is there already; then
 * *is_kept is true, and the result OBJECT_OK. Otherwise returns the state of the removed file, as
 * far as it is known, or OBJECT_MISSING; OBJECT_UNKNOWN and *e on failure.
 */
enum object_state object_remove(const struct data_dir *dir, struct str key, int64_t *size_bytes,
                                bool *is_kept, struct err *e);

#endif
