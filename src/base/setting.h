/*
 * Settings of the environment, of options and of configs, refused (ERR_FAILED) where they silently
 * mean something else than their user thinks: quotes, blanks and carriage returns that a shell or
 * an editor did not take off, a "~" that only a shell expands. The Python client takes them
 * literally, so that neither reading is safe to guess. An empty variable counts as unset.
 */
#ifndef BASE_SETTING_H
#define BASE_SETTING_H

#include "base/err.h"
#include "base/str.h"

/* Reads a path from a variable and makes it absolute, without trailing slashes; *out is NULL when
 * the variable is unset. Caller frees. */
int setting_path(const char *variable, char **out, struct err *e) ERR_CHECKED;

/* Reads any other text from a variable, borrowed; *out is NULL when the variable is unset. */
int setting_text(const char *variable, const char **out, struct err *e) ERR_CHECKED;

/* Checks the value of an option or a config key that names a file; `what` starts the error. */
int setting_check_path(const char *what, struct str value, struct err *e) ERR_CHECKED;

/* Checks any other text in the same way. The error does not quote a text that may hold a
 * password. */
int setting_check_text(const char *what, struct str value, struct err *e) ERR_CHECKED;

/* Returns the one of `names` that is meant, most likely, by a name that is none of them but looks
 * like one; else NULL. The names are text of the program. */
const char *setting_find_meant(struct str name, const char *const *names, size_t count);

/*
 * Calls `report` with a warning for each variable that is set, starts with KACHERY_, is read by no
 * program, but looks like one that is.
 */
void setting_report_typos(void (*report)(void *ctx, const struct err *warning), void *ctx);

#endif
