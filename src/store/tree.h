/*
 * The files below a path, one by one and in byte order of their paths, whatever the size of the
 * tree: in memory are only the names of the directories that are open. Symbolic links to files
 * are followed, those to directories are not. Reads names and inodes, never data.
 */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

struct tree;

enum tree_step {
    TREE_FILE, /* a regular file */
    TREE_BAD,  /* something that cannot be one, or a directory that cannot be read: see the err */
    TREE_END
};

/* Begins at `path` (copied), which may be a symbolic link to a directory. The directory `skipped`
 * is left out (by device and inode); may be NULL. NULL without memory. */
struct tree *tree_open(const char *path, const struct stat *skipped, struct err *e);

/* NULL-safe. */
void tree_close(struct tree *tree);

/* Goes on to the next; *path is borrowed until the next call. The err names the cause alone. */
enum tree_step tree_next(struct tree *tree, const char **path, int64_t *size, struct err *e);

#endif
