/*
 * Structs of intervals in milliseconds with defaults, single ones of which a test may change by an
 * environment variable: "name=milliseconds,…". Nothing of it is for users: names may change.
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

/* Changes in the struct at `t` what `text` names, which may be empty. ERR_USAGE quoting a bad
 * part. */
int interval_table_parse(const struct interval_table *table, void *t, struct str text,
                         struct err *e) ERR_CHECKED;

/* The defaults, with the changes that an environment variable names. */
int interval_table_load(const struct interval_table *table, void *t, const char *variable,
                        struct err *e) ERR_CHECKED;

#endif
