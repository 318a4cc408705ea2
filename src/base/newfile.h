/*
 * Makes new files and directories. A file has a temporary name until it is whole: one beside it,
 * `path.tmp.XXXXXXXX`, or one of the caller's in a folder for such files. Files that a killed
 * process left under a temporary name are found and removed. In a place that several people may
 * share (PROTOCOL.md §1) the place's root decides on modes, not the umask of the first process. The
 * modes of existing files are never changed.
 */
#ifndef BASE_NEWFILE_H
#define BASE_NEWFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* ---- one file ---- */

struct newfile {
    struct buf name; /* the temporary one, with a NUL behind it (name.data); empty: no file */
    int fd;          /* -1: closed */
};

#define NEWFILE_NONE {.fd = -1}

/* Creates and opens (O_RDWR|O_CLOEXEC|O_EXCL) a file under a temporary name beside `path`; of a
 * base name too long for that, the end is cut. `f` is NEWFILE_NONE before, and after an error. */
int newfile_open(struct newfile *f, const char *path, mode_t mode, struct err *e) ERR_CHECKED;

/* Creates the file in the same way under the temporary name `name`, in a folder for such files
 * alone on the final name's file system, and holds it (newfile_hold) while it is open. Returns 0,
 * or -1 and errno: EEXIST when a file has that name, or another process has just removed this one
 * as abandoned, before it was held. */
int newfile_open_held(struct newfile *f, const char *name, mode_t mode);

/* Appends to the file; errors name `path`, and errno is that of write(2). */
int newfile_write(const struct newfile *f, struct str data, const char *path, struct err *e)
    ERR_CHECKED;

/* Ends the writing: a network file system or a quota may refuse only now. `is_durable`: the bytes
 * are on the disk then (fsync). Errors name `path`; nothing is left behind. */
int newfile_close(struct newfile *f, bool is_durable, const char *path, struct err *e) ERR_CHECKED;

/* Gives the file the name `path` (rename(2), with its result and errno); `f` is then NEWFILE_NONE
 * if it was closed. A file that was opened held is renamed while it is open, as only its lock keeps
 * its temporary name; newfile_leave closes it then. */
int newfile_rename(struct newfile *f, const char *path);

/* Closes, renames, and syncs the directory if `is_durable`. On failure nothing is left behind, and
 * an old file is untouched (but when only the directory was not synced, the new one may be
 * there). */
int newfile_commit(struct newfile *f, bool is_durable, const char *path, struct err *e) ERR_CHECKED;

/* Forgets a file whose temporary name the caller has taken down: it stays. */
void newfile_leave(struct newfile *f);

/* Closes and removes the file. Safe on NEWFILE_NONE. */
void newfile_discard(struct newfile *f);

/* Appends a temporary name beside `path`, as newfile_open makes it; returns true for a name of that
 * form. */
void newfile_put_name(struct str path, struct buf *out);
bool newfile_is_temporary(struct str name);

/* Reads the clock of the file system, which may be another host's: the mtime of a temporary file
 * that it makes beside `path` and removes. */
int newfile_time_beside(const char *path, int64_t *now_ms, struct err *e) ERR_CHECKED;

/* ---- a whole one at once ---- */

enum newfile_flags {
    NEWFILE_DURABLE = 1, /* fsync the file before, the directory after the rename */
    NEWFILE_PRIVATE = 2, /* mode 0600 instead of 0666 & ~umask */
    NEWFILE_OWN = 4,     /* at no moment can others write it, whatever umask and shared place say */
    NEWFILE_FRESH = 8    /* readers come only after another file names it: a file that does not
                            exist is written under its own name at once */
};

/* Replaces `path` by a file with this content: temporary name `path.tmp.XXXXXXXX` beside it,
 * written, renamed. On failure nothing is left behind and an old file is untouched (but when only
 * the fsync of the directory failed, the new one may be there). */
int newfile_put(const char *path, struct str data, unsigned flags, struct err *e) ERR_CHECKED;

/* Replaces `path` in the same way by a file of this mode, whatever the umask. */
int newfile_put_mode(const char *path, struct str data, unsigned flags, mode_t mode,
                       struct err *e) ERR_CHECKED;

/* Replaces a file below the root of a shared place in the same way. It takes the root's group bits
 * (newfile.h). */
int newfile_put_below(const char *root, const char *path, struct str data, unsigned flags,
                        struct err *e) ERR_CHECKED;

/* ---- abandoned ones ---- */

/* A file is abandoned if it was not written for long and no process holds it; a file that was
 * opened held, as soon as no process holds it. A file system may be
 * shared with other machines, so its own clock decides on the age, and process numbers mean
 * nothing. A process that loses its file to this all the same fails at its rename, with a clear
 * error. */
enum {
    NEWFILE_LEFT_SECONDS = 24 * 3600,   /* of a temporary file */
    NEWFILE_PART_SECONDS = 7 * 86400    /* of one that a later run can go on with */
};

/* Marks the file as in use (a lock) while fd is open. For files that may not be written for a day,
 * because their source hangs. Does nothing on file systems without locks. */
void newfile_hold(int fd);

/* Removes the abandoned temporary files of `path`; when it ends with '/', all in that folder, which
 * must be ours alone. Best effort: a file that cannot be looked at stays. */
void newfile_clean(const char *path);

/* Removes the abandoned files in `folder`, all of which were opened held, and reports each name to
 * `on_removed`. On file systems without locks a file is abandoned if it was not written for
 * NEWFILE_LEFT_SECONDS by this host's clock: the disk may be too full to ask for its own. Best
 * effort. */
void newfile_clean_held(const char *folder, void (*on_removed)(const char *name));

/* Removes this one file, whatever its name, if it is abandoned for `seconds`. */
void newfile_remove_left(const char *path, int seconds);

/* ---- directories and modes ---- */

/*
 * Creates the directory `root` if there is none: 0700 when it is private, else 2770 in a setgid
 * directory whatever the umask, else 0777 & ~umask; and its missing parents, none of them private.
 */
int newfile_make_root(const char *root, bool is_private, struct err *e) ERR_CHECKED;

/* Creates one directory with exactly this mode, if there is none of this name. */
int newfile_make_dir(const char *path, mode_t mode, struct err *e) ERR_CHECKED;

/* Creates the missing directories of a file's path below `root`, which exists: with the root's
 * group and its group bits, and for others no more than the root and the umask allow. */
int newfile_make_parents(const char *root, const char *path, struct err *e) ERR_CHECKED;

/* Gives a file that was just created below `root` the root's group and its group bits without x,
 * for others no more than before and than the root allows. Best effort: some file systems have no
 * modes. Does nothing when root is NULL. */
void newfile_adopt(const char *root, int fd);

/* Adopts in the same way without the bits that let others write: for a file whose content counts as
 * its owner's word. */
void newfile_adopt_own(const char *root, int fd);

/* Returns true when the directory that holds `path` is setgid: its files are its group's. */
bool newfile_is_in_group_folder(const char *path);

#endif
