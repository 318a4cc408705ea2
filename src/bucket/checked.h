/*
 * The knowledge about the objects of a folder: which were read and had their hash, and which had
 * not.
 * A file is known as it was (inode, size, mtime); another in its place is not known. All processes
 * that work in the folder share this, and it stays when they end:
 *     <dir>/.hub/checked/table     good ones: 64-byte records, one for each object key, in pages of
 *                                  4,096 bytes by the first three digits of checked_id; a page
 *                                  without records is a hole. A look-up reads one page, so it is
 *                                  the kernel that keeps them in memory
 *     <dir>/.hub/checked/<xxx>     the same, for those that found their page full
 *     <dir>/.hub/damaged/<id>      one small text file for each damaged object
 * A record that is lost costs another reading and nothing else: failures are no errors, but of the
 * look for a mark of damage.
 */
#ifndef BUCKET_CHECKED_H
#define BUCKET_CHECKED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/sha1.h"
#include "base/str.h"
#include "bucket/data_dir.h"

enum checked {
    CHECKED_UNKNOWN,
    CHECKED_GOOD,
    CHECKED_DAMAGED,
    CHECKED_FAILED /* it cannot be looked whether it is damaged */
};

/* Writes a name for an object key that fits into a file name: the SHA-1 of the key, in hex. */
void checked_id(struct str key, char id[SHA1_HEX + 1]);

/* Returns what is known of the object `key` if it is the file of `st`. *checked_s (may be NULL) is
 * when a good one was read, in seconds since the epoch. CHECKED_FAILED comes with *e. */
enum checked checked_get(const struct data_dir *dir, struct str key, const struct stat *st,
                         int64_t *checked_s, struct err *e);

/* Returns whether the object was read as it is now and had its hash; *checked_s as above. */
bool checked_is_good(const struct data_dir *dir, struct str key, const struct stat *st,
                     int64_t *checked_s);

/* Returns 1 when the object is known to be damaged, else 0; -1 and *e when that cannot be looked
 * up. Costs one look-up of a file that mostly does not exist. */
int checked_is_damaged(const struct data_dir *dir, struct str key, const struct stat *st,
                       struct err *e) ERR_CHECKED;

/* Remembers what a reading found, in place of what was known of the key: good or damaged. */
void checked_put(const struct data_dir *dir, struct str key, const struct stat *st,
                 enum checked state);

/* Forgets all that is known of an object, which is gone. */
void checked_forget(const struct data_dir *dir, struct str key);

#endif
