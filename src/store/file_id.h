/*
 * Which file it was that was hashed. Devices are compared inside one process only: their numbers
 * differ between the nodes of a cluster.
 */
#ifndef STORE_FILE_ID_H
#define STORE_FILE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"

struct file_id {
    uint64_t device, inode;
    uint32_t owner;
};

/* Returns the identity of the file of `st`. */
struct file_id file_id_of(const struct stat *st);

/* Returns true when `st` is of that very file. */
bool file_id_is(const struct file_id *id, const struct stat *st);

/* Appends the path of an open file without symbolic links, as /proc shows it; nothing where
 * /proc does not. */
void file_id_put_resolved(int fd, struct buf *out);

#endif
