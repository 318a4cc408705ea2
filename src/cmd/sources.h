/*
 * The files that a user names for link, store-local and their like: arguments, lists of paths
 * (--files-from, -0) and, with -r, the trees below directories.
 */
#ifndef CMD_SOURCES_H
#define CMD_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/follow.h"

struct sources_options {
    const char *const *paths; /* borrowed, read before the list */
    size_t path_count;
    const char *list;         /* a file's name, "-" for standard input, or NULL */
    bool is_nul_separated, is_recursive;
    /* Patterns (glob_excludes) of what is left out: in a tree for paths below it (one that begins
     * with '/' also for whole paths), else for what was named, as it was. */
    const char *const *excluded;
    size_t excluded_count;
    const char *for_trees; /* the option or command for directories, for the error */
    const struct stat *skipped; /* a directory to leave out of trees, or NULL */
    /* Called with the absolute path of each tree that is begun; NULL: nobody wants to know. */
    void (*on_tree)(void *owner, const char *path);
    void *owner;
};

struct sources;

enum sources_step {
    SOURCES_FILE,
    SOURCES_BAD,  /* a path that cannot be used: the err says why, without naming it */
    SOURCES_WAIT, /* nothing yet: wait until sources_fd is readable */
    SOURCES_END
};

/* Opens the sources. The strings of the options are borrowed. NULL and *e for a list that cannot be
 * opened, and without memory. */
struct sources *sources_open(const struct sources_options *options, struct err *e);

/* Closes the sources. NULL-safe. */
void sources_close(struct sources *sources);

/* Finds the next file: *path (absolute, borrowed until the next call) and *size in bytes. *e, which
 * may be NULL, comes with SOURCES_BAD. */
enum sources_step sources_next(struct sources *sources, const char **path, int64_t *size,
                               struct err *e);

/* Returns true when the last file or fault of sources_next is in the tree that was begun last. */
bool sources_is_in_tree(const struct sources *sources);

/* Returns how the last file of sources_next is to be opened; borrowed until the next call. */
const struct follow *sources_follow(const struct sources *sources);

/* Returns the descriptor of the list, which stays the sources' own; -1 without a list. */
int sources_fd(const struct sources *sources);

#endif
