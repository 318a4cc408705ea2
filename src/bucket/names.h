/* Lists of names, and the names in a folder, in the order of their bytes. */
#ifndef BUCKET_NAMES_H
#define BUCKET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* A list; all zeros is an empty one. */
struct names {
    char **items;
    size_t count, cap;
    bool failed; /* for want of memory one is missing */
};

/* Frees the names; the list is empty then. */
void names_free(struct names *names);

/* Adds a copy of the name. Without memory `failed` is set. */
void names_add(struct names *names, struct str name);

/* Sorts the names by their bytes. */
void names_sort(struct names *names);

/* Adds the names in a folder that do not begin with a dot, and sorts all; a folder that is not
 * there has none. With `marks_folders` the name of a folder ends with '/', and only folders and
 * regular files are added: whole paths are then in the order of their bytes. Returns -1 and *e
 * for a folder that cannot be read, for a `path` that is NULL (*e is set already), and without
 * memory. */
int names_read_folder(const char *path, bool marks_folders, struct names *names, struct err *e);

#endif
