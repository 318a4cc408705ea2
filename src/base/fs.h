/*
 * Files as the rest of the program needs them: whole small files, durable atomic writes, paths.
 * Modes are 0777/0666 and the umask, never chmod; newfile.h has those of places that are shared.
 * Errors name the path. A path that is NULL, which is what
 * buf_path gives without memory, fails everywhere.
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

/* Writes all of data to fd, whatever the size of each write(2); waits where fd would block. */
int fs_write_all(int fd, struct str data, const char *path, struct err *e) ERR_CHECKED;

enum fs_write_flags {
    FS_DURABLE = 1, /* fsync the file before, the directory after the rename */
    FS_PRIVATE = 2, /* mode 0600 instead of 0666 & ~umask */
    FS_OWN = 4,     /* at no moment can others write it, whatever umask and shared place say */
    FS_FRESH = 8    /* readers come only after another file names it: a file that does not exist is
                       written under its own name at once */
};

/* Replaces `path` by a file with this content: temporary name `path.tmp.XXXXXXXX` beside it,
 * written, renamed. On failure nothing is left behind and an old file is untouched (but when only
 * the fsync of the directory failed, the new one may be there). */
int fs_write_file(const char *path, struct str data, unsigned flags, struct err *e) ERR_CHECKED;

/* Replaces `path` in the same way by a file of this mode, whatever the umask. */
int fs_write_file_mode(const char *path, struct str data, unsigned flags, mode_t mode,
                       struct err *e) ERR_CHECKED;

/* Replaces a file below the root of a shared place in the same way. It takes the root's group bits
 * (newfile.h). */
int fs_write_file_below(const char *root, const char *path, struct str data, unsigned flags,
                        struct err *e) ERR_CHECKED;

/* Creates and opens (O_RDWR|O_CLOEXEC|O_EXCL) a new file `path.tmp.XXXXXXXX` (of a base name too
 * long for that, the end is cut); its name, with a NUL behind, is put in *temporary
 * (appended). Caller closes, renames or unlinks. */
int fs_open_temporary(const char *path, mode_t mode, struct buf *temporary, int *fd,
                      struct err *e) ERR_CHECKED;

/* Returns true when the name is of the form that fs_open_temporary makes. */
bool fs_is_temporary(struct str name);

/* Reads the clock of the file system, which may be another host's: the mtime of a temporary file
 * that it makes beside `path` and removes. */
int fs_time_beside(const char *path, int64_t *now_ms, struct err *e) ERR_CHECKED;

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

/* Appends the path of an open file as the kernel tells it, "a file" where /proc does not. */
void fs_put_open_path(int fd, struct buf *out);

/* Sets O_NONBLOCK and FD_CLOEXEC. */
int fs_set_nonblocking(int fd, struct err *e) ERR_CHECKED;

#endif
