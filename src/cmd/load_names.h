/*
 * The names of the files of `load -d DIR`: their labels, which may come from anybody, so a name is
 * never more than one path component and never one with a meaning here.
 */
#ifndef CMD_LOAD_NAMES_H
#define CMD_LOAD_NAMES_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { LOAD_NAMES_MAX_BYTES = 255 }; /* NAME_MAX of every usual file system */

/*
 * Appends the base name of a label (still percent-encoded; slashes at its end are none), else the
 * hash: for no label, "." and "..", one with a NUL, and a name that a download's own file may have.
 * Control bytes and what is no UTF-8 become %XX; one that is too long is cut before its extension.
 */
void load_names_put(struct buf *out, struct str label, const char *hash);

/* Returns whether downloads keep what is not complete under such a name: no file may have it. */
bool load_names_is_reserved(struct str name);

/* Appends the n-th name for what would be called `name`: name-2.ext; n is at least 2. */
void load_names_put_numbered(struct buf *out, struct str name, unsigned long n);

/* The names of one call, each with the hash that has it. All zeros is an empty table. */
struct load_names {
    void *root;
};

/*
 * Appends the name for that hash in this call: the wanted one, or the first numbered one that no
 * other hash has. The same hash gets the same name again.
 */
int load_names_take(struct load_names *names, struct str wanted, const char *hash, struct buf *out,
                    struct err *e);

void load_names_free(struct load_names *names);

#endif
