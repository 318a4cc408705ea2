/*
 * Files as the rest of the program needs them: whole small files, syncing, paths; newfile.h makes
 * new ones. Errors name the path. A path that is NULL, which is what buf_path gives without memory,
 * fails everywhere.
 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Reads a whole regular file of at most max_bytes into *out (appended). ERR_NOT_FOUND when there
 * is none, ERR_TOO_LARGE beyond the limit. */
int fs_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *e) ERR_CHECKED;

/* Reads such a file, or /dev/null or a pipe, for which it waits: a user may name a pipe, such as a
 * shell's <(command). */
int fs_read_pipe(const char *path, size_t max_bytes, struct buf *out, struct err *e) ERR_CHECKED;

/* Reads like fs_read_file; *st gets the fstat(2) of the file that was read. Without `follows`, a
 * symbolic link is an error. */
int fs_read_stat(const char *path, bool follows, size_t max_bytes, struct buf *out, struct stat *st,
                 struct err *e) ERR_CHECKED;

/* Looks at what was just opened. Returns fd; without a look closes it and returns -1 with the errno
 * of fstat(2). A negative fd comes back as it is. */
int fs_stat_opened(int fd, struct stat *st);

/* Reads `size` bytes from fd into `data`. Returns how many: fewer only at the end of the file; -1
 * with the errno of read(2). */
ssize_t fs_read_part(int fd, char *data, size_t size);

/* Writes all of data to fd, whatever the size of each write(2); waits where fd would block. On
 * failure errno is that of write(2). */
int fs_write_all(int fd, struct str data, const char *path, struct err *e) ERR_CHECKED;

/* Returns the mtime in ms since the epoch. */
int64_t fs_mtime_ms(const struct stat *st);

/* Syncs (fsync) the file at `path`, also one that another process wrote. */
int fs_sync_file(const char *path, struct err *e) ERR_CHECKED;

/* Syncs (fsync) the directory that holds `path`. File systems that cannot (EINVAL, ENOTSUP) count
 * as synced, and so do directories that we may write but not read. */
int fs_sync_parent(const char *path, struct err *e) ERR_CHECKED;

/* Appends `path` made absolute against the working directory; an absolute path verbatim (`..`,
 * `//`, symlinks kept), a relative one joined and lexically normalised (PROTOCOL.md §2). */
int fs_absolute_path(const char *path, struct buf *out, struct err *e) ERR_CHECKED;

/* Returns the mtime in seconds as the Python client computes it: sec + 1e-9 * nsec in double. */
double fs_mtime(const struct stat *st);

/* Appends text fit for a terminal or a TAB-separated line: control bytes (C0, DEL, and C1 alone or
 * as UTF-8) as \xHH. */
void fs_put_printable(struct buf *out, struct str path);

/* Appends the path of an open file as /proc shows it, "a file" without /proc. */
void fs_put_open_path(int fd, struct buf *out);


#endif
