/*
 * The leaves that were read first of each file that a relay served, kept in a file across restarts:
 * the next opening asks for them at once (EXTENSIONS.md §3, `also`). It is a memory aid: what is
 * lost or damaged costs round trips, and nothing is synced. Blocks on disk I/O; one process for
 * each file.
 */
#ifndef PROXY_OPENINGS_H
#define PROXY_OPENINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/sha1.h"
#include "proto/range_message.h"

enum { OPENINGS_SLOTS = 4096 /* files that are remembered; a later one may take a place */ };

/* Opens or makes the file at `path`. Returns its descriptor, or -1, with which nothing is
 * remembered; the caller closes it. */
int openings_open(const char *path);

/* Reads the leaves of the file of that SHA-1. Returns how many. */
size_t openings_get(int fd, const unsigned char address[SHA1_SIZE],
                    uint32_t leaves[RANGE_MAX_ALSO]);

/* Replaces them. */
void openings_put(int fd, const unsigned char address[SHA1_SIZE], const uint32_t *leaves,
                  size_t count);

#endif
