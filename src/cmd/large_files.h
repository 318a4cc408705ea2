/* A warning about files that are too large for the gateway of this environment, if that is known to
 * have a limit. Asks nobody. */
#ifndef CMD_LARGE_FILES_H
#define CMD_LARGE_FILES_H

#include <stdint.h>

#include "store/store.h"

struct large_files {
    size_t count;
    char *first; /* its path */
    int64_t size;
};

/* Counts a file of the command's list if it is larger than deployed gateways take. `size` is in
 * bytes; the path is copied. */
void large_files_note(struct large_files *l, const char *path, int64_t size);

/* Prints one warning about all of them to standard error, at the end. */
void large_files_warn(const struct large_files *l, const char *name, const struct store *s);

void large_files_deinit(struct large_files *l);

#endif
