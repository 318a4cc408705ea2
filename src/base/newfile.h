/*
 * Modes of new files in a place that several people may share (PROTOCOL.md §1): the place's root
 * decides, not the umask of the first process. The modes of existing files are never changed.
 */
#ifndef BASE_NEWFILE_H
#define BASE_NEWFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

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
