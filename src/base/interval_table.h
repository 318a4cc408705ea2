/*
 * Structs of intervals in milliseconds with defaults. A test may change single ones by an
 * environment variable, "name=milliseconds,…". This is not for users: names may change.
 */
#ifndef BASE_INTERVAL_TABLE_H
#define BASE_INTERVAL_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { INTERVAL_MAX_MS = 7 * 24 * 3600 * 1000 };

/* An int64_t member of the struct. */
struct interval_row {
    const char *name;
    size_t offset;
    int64_t ms;
};

struct interval_table {
    const struct interval_row *rows;
    size_t count;
};

/* Changes the intervals of the struct at `t` that `text` names; it may be empty. ERR_USAGE quoting
 * a bad part. */
int interval_table_parse(const struct interval_table *table, void *t, struct str text,
                         struct err *e) ERR_CHECKED;

/* Sets all intervals of the struct at `t` to their defaults, with the changes that the environment
 * `variable` names. ERR_USAGE as above. */
int interval_table_load(const struct interval_table *table, void *t, const char *variable,
                        struct err *e) ERR_CHECKED;

#endif
