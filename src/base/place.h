/*
 * Safe opening of files in directories where others can write too. Finds the directory and name
 * that a path leads to, holding each directory on the way, and refuses links and files that a
 * stranger may have put there to have another file of ours overwritten. The kernel does so only
 * where protected_symlinks and its like are on.
 */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct place {
    int dir; /* the directory, open as O_PATH; -1: none */
    char name[NAME_MAX + 1];
    /* Names the file in that very directory, whatever the path leads to meanwhile; without /proc,
     * the path as it was given. As long as the place is open, and in this process. */
    struct buf path; /* ends with a NUL behind it */
    bool is_there, was_link; /* something has the name; the path's last name is a symbolic link */
    bool is_magic;           /* one of /proc's, which only the kernel can follow */
    struct stat st;          /* of what is there; no link, unless links are not followed */
};

/*
 * Finds the place of a path. A symbolic link of another user (not root) is refused in a directory
 * that everybody may write (a sticky one, most often); elsewhere the last one must belong to the
 * owner of what it leads to. ERR_NOT_FOUND when a directory is missing. Caller closes.
 */
int place_find(const char *path, bool follows_last, struct place *out, struct err *e) ERR_CHECKED;

/*
 * Finds the place of `path` below the folder `root`: whatever `root` leads to is used, the folders
 * below it are made where they are missing, and a symbolic link among them is refused. The parts of
 * `path` are names: none is empty, "." or "..". Caller closes.
 */
int place_make_below(const char *root, struct str path, struct place *out, struct err *e)
    ERR_CHECKED;

/* Closes the directory and frees the path. Safe on a place that was not found, whose dir is -1. */
void place_close(struct place *place);

/* Returns `status`; in the error of a call with place->path, replaces that by the path as it was
 * given. */
int place_name_given(const struct place *place, const char *path, int status, struct err *e)
    ERR_CHECKED;

/* Checks a path as place_find does, and keeps nothing open. A file that does not exist yet is no
 * error. */
int place_check(const char *path, struct err *e) ERR_CHECKED;

/*
 * Opens a file to write into it as it is, or creates it with exactly this mode: open(2). An
 * existing file in a directory that everybody may write must be our own (or the directory's
 * owner's) and have no other name, as with the kernel's protected_regular and protected_fifos.
 */
int place_open_file(const char *path, int flags, mode_t mode, int *fd, struct err *e) ERR_CHECKED;

/* Refuses a file in the same way if it is open for reading and decides what we trust. */
int place_check_open(int fd, const char *path, struct err *e) ERR_CHECKED;

#endif
