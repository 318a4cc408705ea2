#include "base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/dirs.h"

enum { GROUP_BITS = 070, OTHER_BITS = 07, ALL_BITS = 07777 };

/* It does not change while a process of ours lives. */
static mode_t umask_of_process(void)
{
    static bool is_known;
    static mode_t mask;

    if (!is_known) {
        mask = umask(0);
        umask(mask);
        is_known = true;
    }
    return mask;
}

/* Directories under `mode`, group bits and all, at the moment when they appear: who comes at that
 * moment must not be refused. */
static int make_dir_exactly(const char *path, mode_t mode)
{
    mode_t mask = umask_of_process();

    if ((mode & mask & 0777) == 0)
        return mkdir(path, mode & 0777);
    umask(0);
    int result = mkdir(path, mode & 0777);
    int number = errno;

    umask(mask);
    errno = number;
    return result;
}

/* Gives a new file of our own the mode and the group that it should have. */
static void settle_file(int fd, const struct stat *st, mode_t mode, gid_t group)
{
    bool has_both = st->st_gid == group && (st->st_mode & ALL_BITS) == mode;

    if (has_both || st->st_uid != geteuid())
        return;
    /* Another group than the root's gets no more than the umask gives to any. */
    if (st->st_gid != group && fchown(fd, (uid_t)-1, group) != 0)
        mode &= ~(mode_t)S_ISGID & ~(umask_of_process() & GROUP_BITS);
    if ((st->st_mode & ALL_BITS) != mode)
        (void)!fchmod(fd, mode);
}

static void settle_dir(const char *path, mode_t mode, gid_t group)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0)
        settle_file(fd, &st, mode, group);
    close(fd);
}

/* The same, and the group that the kernel gave it. */
static void settle_mode(const char *path, mode_t mode)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        settle_dir(path, mode, st.st_gid);
}

/* The directory that holds `path`; NULL without memory, caller frees. */
static char *parent_of(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len == 0 ? strdup(".") : strndup(path, len);
}

bool newfile_is_in_group_folder(const char *path)
{
    char *parent = path == NULL ? NULL : parent_of(path);
    struct stat st;
    bool result = parent != NULL && stat(parent, &st) == 0 && (st.st_mode & S_ISGID) != 0;

    free(parent);
    return result;
}

int newfile_make_root(const char *root, bool is_private, struct err *e)
{
    char *parent = parent_of(root);
    struct stat st;
    int result = -1;

    if (stat(root, &st) == 0 && S_ISDIR(st.st_mode)) {
        result = 0;
        goto out;
    }
    if (parent == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        goto out;
    }
    if ((is_private ? dirs_make(parent, e) : newfile_make_root(parent, false, e)) != 0)
        goto out;
    if (stat(parent, &st) != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot look at %s", parent);
        goto out;
    }
    bool is_shared = !is_private && (st.st_mode & S_ISGID) != 0;
    mode_t mode = is_private ? 0700 : is_shared ? 02770 : 0777 & ~umask_of_process();
    if (make_dir_exactly(root, mode) == 0) {
        if (is_private || is_shared)
            settle_dir(root, mode, is_private ? getegid() : st.st_gid);
        result = 0;
    } else {
        result = dirs_make(root, e); /* content with what another has made, else the error */
    }
out:
    free(parent);
    return result;
}

int newfile_make_dir(const char *path, mode_t mode, struct err *e)
{
    if (make_dir_exactly(path, mode) == 0)
        settle_mode(path, mode);
    else if (errno != EEXIST)
        return err_errno(e, ERR_FAILED, errno, "cannot create directory %s", path);
    return 0;
}

static mode_t dir_mode(const struct stat *root)
{
    mode_t rest = 0777 & ~umask_of_process() & root->st_mode;

    return 0700 | (root->st_mode & (S_ISGID | GROUP_BITS)) | (rest & OTHER_BITS);
}

/* Whether what is made below the root has its group and mode without being looked at. */
static bool is_plain_root(const struct stat *root)
{
    return (root->st_mode & S_ISGID) == 0 && root->st_gid == getegid();
}

/* The length of the first `len` bytes of a path without their last component. */
static size_t length_above(const char *path, size_t len)
{
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 0 && path[len - 1] == '/')
        len--;
    return len;
}

/* Makes the directory that is the first `len` bytes of `path`, which is changed for a moment, and
 * what is missing between it and the root: from below, as most are there. */
static int make_below(char *path, size_t len, size_t root_len, const struct stat *root,
                      struct err *e)
{
    size_t above = length_above(path, len);
    char after = path[len];
    int result;

    path[len] = '\0';
    result = make_dir_exactly(path, dir_mode(root));
    if (result != 0 && errno == ENOENT && above > root_len) {
        result = make_below(path, above, root_len, root, e);
        if (result == 0)
            result = make_dir_exactly(path, dir_mode(root));
    }
    if (result != 0)
        result = dirs_make(path, e); /* is it there already? */
    else if (!is_plain_root(root))
        settle_dir(path, dir_mode(root), root->st_gid);
    path[len] = after;
    return result;
}

int newfile_make_parents(const char *root, const char *path, struct err *e)
{
    size_t root_len = strlen(root);
    struct stat st;

    if (path == NULL || strncmp(path, root, root_len) != 0 || stat(root, &st) != 0)
        return dirs_make_parents(path, e);
    size_t len = length_above(path, strlen(path));
    if (len <= root_len)
        return 0;
    char *copy = strdup(path);
    if (copy == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    int result = make_below(copy, len, root_len, &st, e);
    free(copy);
    return result;
}

static void adopt_rights(const char *root, int fd, mode_t most)
{
    struct stat above, st;

    if (root == NULL || stat(root, &above) != 0 || fstat(fd, &st) != 0)
        return;
    settle_file(fd, &st,
                (st.st_mode & 0600) | (above.st_mode & GROUP_BITS & most) |
                    (st.st_mode & above.st_mode & OTHER_BITS & most),
                above.st_gid);
}

void newfile_adopt(const char *root, int fd)
{
    adopt_rights(root, fd, 0666);
}

void newfile_adopt_own(const char *root, int fd)
{
    adopt_rights(root, fd, 0644);
}
