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

struct sources *sources_open(const struct sources_options *options, struct err *e);

/* NULL-safe. */
void sources_close(struct sources *sources);

/* Goes on; *path (absolute, borrowed until the next call) and *size of a file. */
enum sources_step sources_next(struct sources *sources, const char **path, int64_t *size,
                               struct err *e);

/* True when the file, or the fault, that sources_next told of last is in the last tree begun. */
bool sources_is_in_tree(const struct sources *sources);

/* How the file that sources_next told of last is to be opened. */
const struct follow *sources_follow(const struct sources *sources);

/* The descriptor of the list; -1 without. */
int sources_fd(const struct sources *sources);

#endif
