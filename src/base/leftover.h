/*
 * The end of temporary files that a killed process, or a machine that lost power, left: whoever
 * owns the place removes what nobody has written for long and nobody holds. A file system may be
 * shared with other machines, so its own clock tells the age, and no process number says anything.
 * Whoever loses a file to this all the same fails at its rename, with a clear error.
 */
#ifndef BASE_LEFTOVER_H
#define BASE_LEFTOVER_H

#include "base/err.h"

enum {
    LEFTOVER_SECONDS = 24 * 3600,         /* of a temporary file */
    LEFTOVER_RESUMED_SECONDS = 7 * 86400 /* of one that a later run can go on with */
};

/* Says that the temporary file is in use while fd is open, for as long as that takes. For files
 * that may not be written for a day: a source that hangs. Where there are no locks, nothing. */
void leftover_hold(int fd);

/* Removes what is left of fs_open_temporary(path); of every temporary file in a folder that is all
 * ours when `path` ends with '/'. Best effort: what cannot be looked at stays. */
void leftover_clean(const char *path);

/* Removes this one file, whatever its name, when it was not written for `seconds`. */
void leftover_remove(const char *path, int seconds);

#endif
