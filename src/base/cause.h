/*
 * Turns an errno of a file system call and its path into cause and cure, in words for a user. Looks
 * at the file system only after a call failed.
 */
#ifndef BASE_CAUSE_H
#define BASE_CAUSE_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Adds to an error about opening `path` the facts that can be seen now: that it is a symbolic link,
 * and to which missing file; which directory on the way may not be entered; who owns it.
 */
void cause_explain(const char *path, struct err *e);

/*
 * Sets the error "cannot create a file in DIR: …" for a file or directory that could not be created
 * or renamed to `path`, and returns -1. Names the deepest directory that exists, never a `path`
 * that does not. `root` is the root of a shared place (a store) in which `path` lies, whose owner
 * can cure it as a whole, or NULL. ERR_NOT_FOUND when a directory is missing.
 */
int cause_create(struct err *e, int number, const char *path, const char *root);

/* Returns true when the deepest directory above `path` that exists may not be written or
 * entered. */
bool cause_is_denied(const char *path);

/* Sets the error "DOING PATH: …" for any other call that failed with a path (open, read, write,
 * sync), and returns -1. */
int cause_path(struct err *e, enum err_code code, int number, const char *doing,
               const char *path);

#endif
