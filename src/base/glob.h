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

/* Whether all of `path` matches. Takes time in the order of both lengths multiplied. */
bool glob_matches(const char *pattern, const char *path);

/*
 * Whether a pattern that leaves files out means the file or directory at `path`, which is relative.
 * Without a slash, but at its end, the pattern is for the base name; with one it is for the whole
 * path, and one at its start says no more than that. With one at its end only directories are
 * meant.
 */
bool glob_excludes(const char *pattern, const char *path, bool is_directory);

/* ERR_USAGE for a pattern that could never leave anything out. */
int glob_check(const char *pattern, struct err *e) ERR_CHECKED;

#endif
