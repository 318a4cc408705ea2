/*
 * Creates missing directories and their parents: mode 0777 and the umask, never chmod. newfile.h
 * has the modes of places that are shared.
 */
#ifndef BASE_DIRS_H
#define BASE_DIRS_H

#include "base/err.h"
#include "base/str.h"

/* Creates `path` and the parents that are missing (0777 & ~umask). */
int dirs_make(const char *path, struct err *e) ERR_CHECKED;

/* Creates the parents of a file's path. */
int dirs_make_parents(const char *path, struct err *e) ERR_CHECKED;

/* Returns the directory part of `path` with its slash ("" when it has none), borrowed from
 * `path`. */
struct str dirs_above(struct str path);

#endif
