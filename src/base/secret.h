/*
 * The places where this process keeps secrets for long. A forked child needs none of them (it reads
 * its own) and overwrites them all before it does anything else.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

#include "base/err.h"

/* Adds a place. The bytes stay there until secret_remove, which comes before they are freed. -1
 * when too many are kept. */
int secret_add(void *bytes, size_t len, struct err *e) ERR_CHECKED;

/* Forgets a place; ignores one that was not added. Overwrites nothing. */
void secret_remove(const void *bytes);

/* Overwrites every one, and knows none any more: in a child. */
void secret_wipe_all(void);

#endif
