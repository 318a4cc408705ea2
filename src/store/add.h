/*
 * Adding files in two steps, so that many can be made durable by one sync: each is staged under a
 * temporary name (in any process), then all are synced, then each is published by a rename.
 * Errors about the file name the cause alone: callers know the path.
 */
#ifndef STORE_ADD_H
#define STORE_ADD_H

#include "store/hash_file.h"
#include "store/store.h"

enum { ADD_SUFFIX_SIZE = 32 };

struct add_staged {
    enum store_kind kind;
    char hash[SHA1_HEX + 1];
    int64_t size;
    double mtime; /* of the file that was read */
    struct file_id id; /* likewise, of a link */
    char suffix[ADD_SUFFIX_SIZE]; /* of the temporary name; empty: what is there already is right */
    char manifest[MANIFEST_SUFFIX_SIZE]; /* likewise of its manifest */
};

/*
 * Does all steps for one file: it is durable and visible on return, or nothing is left. A link:
 * `path`, which is absolute, is hashed (through the hash cache when it is above 1,000,000 bytes)
 * and its record written. A copy: FICLONE and the hash of the clone, or the hash of the bytes
 * written; it replaces one that is there, which might be damaged. A file that changes meanwhile is
 * read once more, then ERR_CHANGED. `options` may be NULL; of its flags HASH_MAKE_MANIFEST counts:
 * the manifest becomes visible before its record or copy.
 */
int add_file(const struct store *s, enum store_kind kind, const char *path,
             const struct hash_options *options, struct add_staged *out, struct err *e) ERR_CHECKED;

/* Returns whether there is anything to publish or to remove. */
bool add_is_staged(const struct add_staged *staged);

/* Does the first step alone: reads the file and writes its record or copy, and the manifest, under
 * temporary names. */
int add_stage(const struct store *s, enum store_kind kind, const char *path,
              const struct hash_options *options, struct add_staged *out, struct err *e)
    ERR_CHECKED;

/* The first step of a link in two: the caller hashes the file, with the options that add_reading
 * makes of its own, which may be NULL, and add_stage_hashed writes the record. If that fails, the
 * manifest is removed too. */
struct hash_options add_reading(const struct hash_options *options);
int add_stage_hashed(const struct store *s, const char *path, const struct hash_result *hashed,
                     struct add_staged *out, struct err *e) ERR_CHECKED;

/* Makes one staged file durable, or its name after publishing; does nothing for a file that
 * was there already. For many files store_sync takes less time. */
int add_sync_staged(const struct store *s, const struct add_staged *staged, struct err *e)
    ERR_CHECKED;
int add_sync_published(const struct store *s, const struct add_staged *staged, struct err *e)
    ERR_CHECKED;

/* Gives a staged file and its manifest their names, and remembers the path of a link. When that
 * fails the temporary files are removed. */
int add_publish(const struct store *s, const char *path, const struct add_staged *staged,
                struct err *e) ERR_CHECKED;

/* Stages a link again if it was there already when it was staged, and was replaced since by others
 * that were published. The last link wins. */
int add_confirm_link(const struct store *s, const char *path, struct add_staged *staged,
                     struct err *e) ERR_CHECKED;

/* Removes the temporary file instead. */
void add_discard(const struct store *s, const struct add_staged *staged);

#endif
