/*
 * Patterns for names and paths, as a .gitignore file has them. Bytes only: never looks at files.
 *
 *   *  any bytes but '/'    ?  one character but '/'    [a-z] [!a-z]  one of these, none of these
 *   \x  x itself            **  as a whole component: any number of directories, also none
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>

#include "base/err.h"

enum { GLOB_MAX_BYTES = 4095 }; /* of a pattern: a path has no more */

/* Returns whether all of `path` matches. Takes time in the order of both lengths multiplied. */
bool glob_matches(const char *pattern, const char *path);

/*
 * Returns whether a pattern that leaves files out means the file or directory at `path`, which is
 * relative. A pattern whose only slash is at its end, or that has none, is for the base name; any
 * other is for the whole path, and a slash at its start only makes it so. With a slash at its end
 * it means directories alone.
 */
bool glob_excludes(const char *pattern, const char *path, bool is_directory);

/* Checks a pattern. ERR_USAGE if it could never leave anything out. */
int glob_check(const char *pattern, struct err *e) ERR_CHECKED;

#endif
