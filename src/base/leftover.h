/*
 * Removal of temporary files that a killed process, or a machine that lost power, left behind:
 * files that were not written for long and that no process holds. A file system may be shared with
 * other machines, so its own clock decides on the age, and process numbers mean nothing. A process
 * that loses its file to this all the same fails at its rename, with a clear error.
 */
#ifndef BASE_LEFTOVER_H
#define BASE_LEFTOVER_H

#include "base/err.h"

enum {
    LEFTOVER_SECONDS = 24 * 3600,         /* of a temporary file */
    LEFTOVER_RESUMED_SECONDS = 7 * 86400 /* of one that a later run can go on with */
};

/* Marks the temporary file as in use (a lock) while fd is open. For files that may not be written
 * for a day, because their source hangs. Does nothing on file systems without locks. */
void leftover_hold(int fd);

/* Removes the abandoned files of fs_open_temporary(path); when `path` ends with '/', all abandoned
 * temporary files in that folder, which must be ours alone. Best effort: a file that cannot be
 * looked at stays. */
void leftover_clean(const char *path);

/* Removes this one file, whatever its name, when it was not written for `seconds`. */
void leftover_remove(const char *path, int seconds);

#endif
