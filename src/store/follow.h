/*
 * Finding a file where other users can write: no directory on the way can be swapped for a link
 * meanwhile, and a stranger's symbolic link does not make us read, and give away, what only we may
 * read. Looks and finds; never opens a file for reading.
 */
#ifndef STORE_FOLLOW_H
#define STORE_FOLLOW_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

enum follow_kind {
    FOLLOW_ALL,    /* the user named the path himself: every link on it is followed */
    /* The path stands in a list: a link on it is followed as in a tree, or if everybody may read
     * what it leads to. */
    FOLLOW_LISTED,
    /* The path was found below a directory: what is between that and the file's name are real
     * directories. The name may be a link, and lead over more of them, if each of them belongs to
     * the user of this process, to root, or to the owner of what it leads to, or if that is inside
     * the tree. */
    FOLLOW_TREE
};

struct follow {
    enum follow_kind kind;
    /* FOLLOW_TREE: how much of the path names the tree's root, with its slash, and which directory
     * it was: another one that has the name now is not entered. */
    size_t root_len;
    uint64_t root_device, root_inode;
};

/* Returns true when both follow the same kind of links of the same root. */
bool follow_is_equal(const struct follow *a, const struct follow *b);

/* Where a file is: a name in an open directory. That of a directory may be "." there. */
struct follow_place {
    int dir;
    char name[NAME_MAX + 1];
    struct stat st; /* of what has that name; no link */
};

/* Finds the file or directory of a path. Caller closes place->dir. The err names the cause alone;
 * a refused link is ERR_REFUSED. */
int follow_find(const struct follow *f, const char *path, struct follow_place *place,
                struct err *e) ERR_CHECKED;

/* Finds, in the same way, a name in a directory of a tree (kind FOLLOW_TREE) that is open as
 * `dir`. */
int follow_find_at(const struct follow *f, int dir, const char *name, struct follow_place *place,
                   struct err *e) ERR_CHECKED;

#endif
