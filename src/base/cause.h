/*
 * What an errno of a file system call means for its user, and what helps: the one place that turns
 * a number and a path into cause and cure. Looks at the file system only after something failed.
 */
#ifndef BASE_CAUSE_H
#define BASE_CAUSE_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Adds to an error about opening `path` what can be seen now: that it is a symbolic link, and which
 * file that leads to and is missing; which directory on the way may not be entered; whose it is.
 */
void cause_explain(const char *path, struct err *e);

/*
 * "cannot create a file in DIR: …": sets the error for a file or directory that could not be
 * created or renamed to `path`, and returns -1. Names the directory that is there, never `path`
 * when that is not there. `root` is the root of a shared place (a store) that `path` lies in, whose
 * owner can cure it as a whole, or NULL. ERR_NOT_FOUND when a directory is missing.
 */
int cause_create(struct err *e, int number, const char *path, const char *root);

/* True when the deepest directory above `path` that is there may not be written or entered. */
bool cause_is_denied(const char *path);

/* "DOING PATH: …" for whatever else failed with a path: opening, reading, writing, syncing. */
int cause_path(struct err *e, enum err_code code, int number, const char *doing,
               const char *path);

#endif
