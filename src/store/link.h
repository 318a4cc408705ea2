/*
 * One link of the store: its record (PROTOCOL.md §2), which names the last path, and what is
 * remembered of all paths beside it (paths.h). Reads and writes both; looks at no target.
 */
#ifndef STORE_LINK_H
#define STORE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/file_id.h"
#include "store/store.h"
#include "store/voucher.h"

struct link_path {
    char *path;
    int64_t size;
    double mtime;
    char *resolved; /* NULL: which file it was is not known */
    uint64_t inode;
    uint32_t owner;
    struct voucher_author author; /* of the file that names it */
    bool is_doubtful;    /* somebody else wrote which file it was */
    bool is_given_up;    /* it was tried: see store_next_target */
};

struct link {
    const struct store *store; /* borrowed */
    bool is_asked;             /* whether each writer's word counts is to be asked */
    struct link_path *paths;   /* the record's, then the others, the newest first */
    size_t count;
};

/* Reads the link of a hash. ERR_NOT_FOUND when there is no link (or a record that somebody is
 * writing), ERR_REFUSED when it does not count, whatever is in it, else what keeps it from being
 * read. The list of paths beside the record counts only if it names the record's path. Caller frees
 * with link_free. */
int link_read(const struct store *s, const char *hash, struct link **out, struct err *e)
    ERR_CHECKED;

/* Frees a link. NULL-safe. */
void link_free(struct link *link);

/* Returns whether the word of the path's author counts for the open file; `file` NULL: there is
 * none. The err says why not, for the host's log. */
bool link_counts(const struct link *link, const struct link_path *path, int fd,
                 const struct stat *file, struct err *why);

/* Returns true when the open file is known to be another one than was linked. */
bool link_is_other(const struct link_path *path, int fd, const struct stat *st);

/* A path and its file as it was hashed. */
struct link_made {
    const char *path; /* absolute */
    int64_t size;
    double mtime;
    struct file_id id;
};

/* Remembers a path as the newest of its hash, then renames `temporary`, which is beside it, to the
 * record's name. NULL: the record is there already; then nothing that fails is an error. */
int link_publish(const struct store *s, const char *hash, const struct link_made *made,
                 const char *temporary, struct err *e) ERR_CHECKED;

/* Forgets one path of a hash; the record then names the newest of those that remain, or is removed
 * with what is beside it. Nothing is an error that was not there. */
int link_forget(const struct store *s, const char *hash, const char *path, struct err *e)
    ERR_CHECKED;

/* Removes the whole link. */
int link_remove(const struct store *s, const char *hash, struct err *e) ERR_CHECKED;

/* Makes durable what is remembered beside a record. */
int link_sync(const struct store *s, const char *hash, struct err *e) ERR_CHECKED;

/* Appends <dir>/linked_files/sha1/ab/cd/ef/<hash>.paths. */
void link_put_paths_path(const struct store *s, const char *hash, struct buf *out);

#endif
