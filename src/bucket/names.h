/* Lists of names, and the names in a folder, in the order of their bytes. */
#ifndef BUCKET_NAMES_H
#define BUCKET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* All zeros: none. */
struct names {
    char **items;
    size_t count, cap;
    bool failed; /* for want of memory one is missing */
};

void names_free(struct names *names);
void names_add(struct names *names, struct str name);
void names_sort(struct names *names);

/* Adds the names in a folder that do not begin with a dot, and sorts all; a folder that is not
 * there has none. With `marks_folders` the name of a folder ends with '/', and nothing is added
 * that is neither a folder nor a regular file: whole paths are then in the order of their bytes. */
int names_read_folder(const char *path, bool marks_folders, struct names *names, struct err *e);

#endif
