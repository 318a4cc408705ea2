/*
 * A proxy's secret for an operator who has none yet: a new file of random characters. It reads no
 * secrets, and never touches a file that is there.
 */
#ifndef CMD_NEW_SECRET_H
#define CMD_NEW_SECRET_H

#include <stdbool.h>

#include "base/err.h"

enum {
    NEW_SECRET_CHARACTERS = 32,
    NEW_SECRET_MIN_CHARACTERS = 16 /* fewer can be guessed: such secrets are warned of */
};

/* Makes `path` (mode 0600, one line), whole from the start, if there is nothing of that name: then
 * *was_made. Its folder must be there. */
int new_secret_make(const char *path, bool *was_made, struct err *e);

#endif
