/*
 * The files below a path, one by one and in byte order of their paths, whatever the size of the
 * tree: in memory are only the names of the directories that are open. Symbolic links to files
 * are followed as in `store/follow.h`, those to directories are not. It goes from open
 * directories, so that what others rename meanwhile leads nowhere else. Reads names and inodes,
 * never data.
 */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/follow.h"

struct tree;

enum tree_step {
    TREE_FILE, /* a regular file */
    TREE_BAD,  /* something that cannot be one, or a directory that cannot be read: see the err */
    TREE_END
};

struct tree_options {
    const struct stat *skipped; /* a directory that is left out, by device and inode; or NULL */
    /* False for a name that is left out (a directory is then not read). `path` begins below the
     * tree's root. NULL: all are taken. */
    bool (*takes)(void *owner, const char *path, bool is_directory);
    void *owner;
    bool is_listed;     /* the root stands in a list: found as FOLLOW_LISTED */
    /* Nothing is known of a file but its name, and its size is 0. */
    bool is_names_only;
    /* A directory that is gone when its turn comes, or is none any more, is left out. */
    bool is_lenient;
};

/* Begins at `path` (copied), which may be a symbolic link to a directory. `options` may be NULL.
 * NULL without memory. */
struct tree *tree_open(const char *path, const struct tree_options *options, struct err *e);

/* Frees the walk. NULL-safe. */
void tree_close(struct tree *tree);

/* Goes on to the next file; *path is borrowed until the next call. The error names the cause
 * alone. */
enum tree_step tree_next(struct tree *tree, const char **path, int64_t *size, struct err *e);

/* Returns how the files of tree_next are to be opened; borrowed from the walk. */
const struct follow *tree_follow(const struct tree *tree);

#endif
