/*
 * Which roots belong to their SHA-1 and which do not, as found by hashing whole contents
 * (EXTENSIONS.md §2): the last VERDICTS_SLOTS of either kind, in memory and, across restarts, in a
 * file. It is a memory aid: a verdict that is lost costs another hashing, and nothing is synced.
 * Blocks on disk I/O; one process for each file.
 */
#ifndef PROXY_VERDICTS_H
#define PROXY_VERDICTS_H

#include <stdbool.h>

#include "base/sha1.h"
#include "base/sha256.h"

enum { VERDICTS_SLOTS = 1024 /* of either kind; a later one takes the place of another */ };

struct verdicts;

/* Returns the verdicts that are in the file at `path`, which is made if it is missing (NULL, or one
 * that cannot be read: none are kept). NULL without memory. */
struct verdicts *verdicts_open(const char *path);
void verdicts_close(struct verdicts *v); /* NULL-safe */

/* Returns 1 for a root that is proven; -1 for one that was refuted, or another than the proven one;
 * 0 when it is not known. */
int verdicts_find(const struct verdicts *v, const unsigned char address[SHA1_SIZE],
                  const unsigned char root[SHA256_SIZE]);

/* Takes note that the whole content with that root has this SHA-1, or has another one. */
void verdicts_put(struct verdicts *v, const unsigned char address[SHA1_SIZE],
                  const unsigned char root[SHA256_SIZE], bool is_right);

#endif
