/*
 * Remembers the paths that a hash was linked from, in a file of ours beside the record:
 *
 *     {"sha1": HASH, "size": N, "paths": [{"path": P, "mtime": M, "resolved": R, "inode": "I",
 *      "owner": UID}, …]}
 *
 * oldest first. The last three are absent when it is not known which file it was; the inode is
 * text, because not every JSON number of 64 bits survives. Written by rename; deployed programs
 * neither read nor write it. No looking at what the paths name.
 */
#ifndef STORE_PATHS_H
#define STORE_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

/* Beyond either limit the oldest are forgotten. */
#define PATHS_NOBODY UINT32_MAX

enum { PATHS_MAX = 64, PATHS_MAX_BYTES = 256 << 10 };

struct paths_entry {
    char *path;     /* absolute, as in the record */
    double mtime;
    char *resolved; /* without symbolic links; "": another file was there already when it was to be
                       resolved; NULL: which file it was is not known */
    uint64_t inode;
    uint32_t owner;
    /* Another user than the author of this file shared the path: it was taken over from that
     * user's file. PATHS_NOBODY: from one that others could write. */
    bool has_writer;
    uint32_t writer;
};

struct paths {
    struct paths_entry *items; /* oldest first */
    size_t count;
    int64_t size; /* of the content */
};

/* Frees the entries. Safe on zeros. */
void paths_deinit(struct paths *p);
void paths_entry_deinit(struct paths_entry *entry);

/* Reads the file beside a hash's record; *st gets its fstat(2). ERR_NOT_FOUND when it is
 * not there, no regular file, too large or not whole: it then counts as missing. */
int paths_read(const char *file, const char *hash, struct paths *out, struct stat *st,
               struct err *e) ERR_CHECKED;

/* Takes the text apart; ERR_NOT_FOUND when it is no such file or another hash's. */
int paths_parse(struct str text, const char *hash, struct paths *out, struct err *e) ERR_CHECKED;

/* Appends the text. */
void paths_put(struct buf *out, const struct paths *p, const char *hash);

struct store;

/* Replaces the file, which is in the store, by one that nobody else can write into: it is its
 * owner's word (voucher.h). Forgets the oldest when it would be too large. `is_first`: there is no
 * record yet, so that nobody reads it meanwhile. */
int paths_write(const struct store *s, const char *file, const char *hash, struct paths *p,
                bool is_first, struct err *e) ERR_CHECKED;

/* Returns the entry of a path; NULL when it is not remembered. */
struct paths_entry *paths_find(const struct paths *p, const char *path);

/* Makes it the newest, and the only one of its path; copies it. -1 without memory. */
int paths_remember(struct paths *p, const struct paths_entry *entry, struct err *e) ERR_CHECKED;

/* Forgets a path. Returns false when it was not remembered. */
bool paths_forget(struct paths *p, const char *path);

#endif
