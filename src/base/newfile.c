#include "base/newfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/dirs.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/random.h"

enum { GROUP_BITS = 070, OTHER_BITS = 07, ALL_BITS = 07777 };
enum { SUFFIX_DIGITS = 8, OPEN_TRIES = 100 };

#define TEMPORARY_SUFFIX ".tmp."

/* ---- directories and modes ---- */

/* Reads the umask once: it does not change while a process of ours lives. */
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

/* Returns whether new files below the root have its group and mode anyway. */
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

/* ---- one file ---- */

/* musl's open makes a second system call for O_CLOEXEC, its openat does not. */
static int create_once(const char *path, mode_t mode)
{
    return openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode);
}

void newfile_put_name(struct str path, struct buf *out)
{
    size_t directory = dirs_above(path).len;
    size_t room = NAME_MAX - strlen(TEMPORARY_SUFFIX) - SUFFIX_DIGITS;
    char suffix[SUFFIX_DIGITS + 1];

    random_hex(suffix, SUFFIX_DIGITS);
    buf_put(out, str_slice(path, 0, directory + room));
    buf_puts(out, TEMPORARY_SUFFIX);
    buf_puts(out, suffix);
}

int newfile_open(struct newfile *f, const char *path, mode_t mode, struct err *e)
{
    if (path == NULL)
        return buf_no_path(e);
    for (int i = 0; i < OPEN_TRIES; i++) {
        buf_clear(&f->name);
        newfile_put_name(str_of(path), &f->name);
        const char *name = buf_path(&f->name, e);
        if (name == NULL) {
            buf_free(&f->name);
            return -1;
        }
        f->fd = create_once(name, mode);
        if (f->fd >= 0)
            return 0;
        if (errno != EEXIST && errno != EINTR)
            break;
    }
    int number = errno;
    buf_free(&f->name);
    return cause_create(e, number, path, NULL);
}

enum lock { LOCK_TAKEN, LOCK_OF_ANOTHER, LOCK_UNKNOWN };

/* Some file systems have no locks (NFS without lockd, Lustre mounted without them). */
static enum lock try_lock(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return LOCK_TAKEN;
    return errno == EWOULDBLOCK ? LOCK_OF_ANOTHER : LOCK_UNKNOWN;
}

/* Returns false when newfile_clean_held of another process took the file for an abandoned one
 * before this process had the lock: that process removes it. */
static bool is_file_ours(int fd)
{
    struct stat st;

    return try_lock(fd) != LOCK_OF_ANOTHER && fstat(fd, &st) == 0 && st.st_nlink > 0;
}

int newfile_open_held(struct newfile *f, const char *name, mode_t mode)
{
    int number = EEXIST;

    buf_puts(&f->name, name);
    if (buf_path(&f->name, ERR_IGNORED) == NULL) {
        number = ENOMEM;
    } else {
        f->fd = create_once(name, mode);
        if (f->fd < 0)
            number = errno;
        else if (is_file_ours(f->fd))
            return 0;
    }
    newfile_leave(f);
    errno = number;
    return -1;
}

int newfile_write(const struct newfile *f, struct str data, const char *path, struct err *e)
{
    return fs_write_all(f->fd, data, path, e);
}

int newfile_close(struct newfile *f, bool is_durable, const char *path, struct err *e)
{
    int fd = f->fd, status = 0;

    f->fd = -1;
    if (is_durable && fsync(fd) != 0)
        status = err_errno(e, ERR_FAILED, errno, "cannot write %s to disk", path);
    if (close(fd) != 0 && errno != EINTR && status == 0)
        status = err_errno(e, ERR_FAILED, errno, "cannot write %s", path);
    if (status != 0)
        newfile_discard(f);
    return status;
}

int newfile_rename(struct newfile *f, const char *path)
{
    int result = rename(f->name.data, path);

    if (result == 0)
        buf_free(&f->name);
    return result;
}

int newfile_commit(struct newfile *f, bool is_durable, const char *path, struct err *e)
{
    if (f->fd >= 0 && newfile_close(f, is_durable, path, e) != 0)
        return -1;
    if (newfile_rename(f, path) == 0)
        return is_durable ? fs_sync_parent(path, e) : 0;
    err_errno(e, ERR_FAILED, errno, "cannot rename to %s", path);
    newfile_discard(f);
    return -1;
}

void newfile_leave(struct newfile *f)
{
    if (f->fd >= 0)
        close(f->fd);
    buf_free(&f->name);
    f->fd = -1;
}

void newfile_discard(struct newfile *f)
{
    if (f->name.len > 0)
        unlink(f->name.data);
    newfile_leave(f);
}

bool newfile_is_temporary(struct str name)
{
    size_t suffix = strlen(TEMPORARY_SUFFIX) + SUFFIX_DIGITS;

    if (name.len < suffix)
        return false;
    name = str_slice(name, name.len - suffix, name.len);
    return str_starts_with(name, STR(TEMPORARY_SUFFIX)) &&
           hex_is_lower(str_slice(name, strlen(TEMPORARY_SUFFIX), suffix), SUFFIX_DIGITS);
}

int newfile_time_beside(const char *path, int64_t *now_ms, struct err *e)
{
    struct newfile probe = NEWFILE_NONE;
    struct stat st;
    int result = newfile_open(&probe, path, 0666, e);

    if (result == 0 && fstat(probe.fd, &st) != 0)
        result = err_errno(e, ERR_FAILED, errno, "cannot stat %s", probe.name.data);
    else if (result == 0)
        *now_ms = fs_mtime_ms(&st);
    newfile_discard(&probe);
    return result;
}

/* ---- a whole one at once ---- */

/* How a file is to be: `mode` whatever the umask, or 0; the root that it lies below, or NULL. */
struct shape {
    unsigned flags;
    mode_t mode;
    const char *root;
};

/* Creates the file under its very name: it is then no temporary one. */
static bool open_fresh(struct newfile *f, const char *path, mode_t mode)
{
    f->fd = create_once(path, mode);
    if (f->fd < 0)
        return false;
    buf_puts(&f->name, path);
    if (buf_path(&f->name, ERR_IGNORED) != NULL)
        return true;
    unlink(path);
    newfile_leave(f);
    return false;
}

/* *is_fresh: under its own name. */
static int open_shaped(struct newfile *f, const char *path, const struct shape *shape,
                       bool *is_fresh, struct err *e)
{
    bool is_private = (shape->flags & NEWFILE_PRIVATE) != 0 || shape->mode != 0;
    const mode_t mode = is_private ? 0600 : (shape->flags & NEWFILE_OWN) != 0 ? 0644 : 0666;

    *is_fresh = (shape->flags & NEWFILE_FRESH) != 0 && open_fresh(f, path, mode);
    if (!*is_fresh && newfile_open(f, path, mode, e) != 0)
        return -1;
    if (shape->mode != 0 && shape->mode != 0600)
        (void)!fchmod(f->fd, shape->mode); /* some file systems have no modes */
    if ((shape->flags & NEWFILE_OWN) != 0)
        newfile_adopt_own(shape->root, f->fd);
    else if ((shape->flags & NEWFILE_PRIVATE) == 0)
        newfile_adopt(shape->root, f->fd);
    return 0;
}

static int put_file(const char *path, struct str data, const struct shape *shape, struct err *e)
{
    bool is_durable = (shape->flags & NEWFILE_DURABLE) != 0, is_fresh;
    struct newfile f = NEWFILE_NONE;
    int status = -1;

    if (path == NULL)
        return buf_no_path(e);
    if (open_shaped(&f, path, shape, &is_fresh, e) != 0)
        return -1;
    if (newfile_write(&f, data, path, e) == 0) {
        status = is_fresh ? newfile_close(&f, is_durable, path, e)
                          : newfile_commit(&f, is_durable, path, e);
        if (status == 0 && is_fresh) {
            newfile_leave(&f);
            status = is_durable ? fs_sync_parent(path, e) : 0;
        }
    }
    newfile_discard(&f);
    return status;
}

int newfile_put(const char *path, struct str data, unsigned flags, struct err *e)
{
    return put_file(path, data, &(struct shape){.flags = flags}, e);
}

int newfile_put_mode(const char *path, struct str data, unsigned flags, mode_t mode, struct err *e)
{
    return put_file(path, data, &(struct shape){.flags = flags, .mode = mode}, e);
}

int newfile_put_below(const char *root, const char *path, struct str data, unsigned flags,
                      struct err *e)
{
    return put_file(path, data, &(struct shape){.flags = flags, .root = root}, e);
}

/* ---- abandoned ones ---- */

void newfile_hold(int fd)
{
    flock(fd, LOCK_EX | LOCK_NB);
}

static bool is_unwritten_for(const struct stat *st, int seconds)
{
    return clock_wall_ms() - fs_mtime_ms(st) >= 1000LL * seconds;
}

/* Removes the file under its lock, without which no process gives its name to another file. Where
 * there are no locks, the file must not have been written for `unwritten_seconds`. Returns whether
 * the file was removed. */
static bool remove_unless_held(const char *path, int unwritten_seconds)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st, named;
    bool is_removed = false;

    if (fd < 0)
        return false;
    enum lock lock = try_lock(fd);
    if (lock != LOCK_OF_ANOTHER && fstat(fd, &st) == 0 && lstat(path, &named) == 0 &&
        st.st_dev == named.st_dev && st.st_ino == named.st_ino &&
        (lock == LOCK_TAKEN || is_unwritten_for(&st, unwritten_seconds)))
        is_removed = unlink(path) == 0;
    close(fd);
    return is_removed;
}

void newfile_remove_left(const char *path, int seconds)
{
    struct stat st;
    int64_t now_ms;

    if (path == NULL || lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
        !is_unwritten_for(&st, seconds))
        return;
    /* So says our clock, which may be wrong. */
    if (newfile_time_beside(path, &now_ms, ERR_IGNORED) == 0 &&
        now_ms - fs_mtime_ms(&st) >= 1000LL * seconds)
        remove_unless_held(path, seconds);
}

void newfile_clean(const char *path)
{
    struct str whole = str_of(path == NULL ? "" : path), base = whole;
    struct buf name = {0};
    struct dirent *entry;

    if (path == NULL)
        return;
    while (base.len > 0 && memchr(base.p, '/', base.len) != NULL)
        base = str_slice(base, 1, base.len);
    size_t folder = whole.len - base.len;
    buf_put(&name, folder == 0 ? STR("./") : str_slice(whole, 0, folder));
    folder = name.len;
    const char *listed = buf_path(&name, ERR_IGNORED);
    DIR *dir = listed == NULL ? NULL : opendir(listed);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct str found = str_of(entry->d_name);
        if (!newfile_is_temporary(found) || !str_starts_with(found, base))
            continue;
        name.len = folder;
        buf_put(&name, found);
        newfile_remove_left(buf_path(&name, ERR_IGNORED), NEWFILE_LEFT_SECONDS);
    }
    if (dir != NULL)
        closedir(dir);
    buf_free(&name);
}

void newfile_clean_held(const char *folder, void (*on_removed)(const char *name))
{
    DIR *dir = folder == NULL ? NULL : opendir(folder);
    struct buf path = {0};
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        buf_clear(&path);
        buf_printf(&path, "%s/%s", folder, entry->d_name);
        const char *file = buf_path(&path, ERR_IGNORED);
        if (file != NULL && remove_unless_held(file, NEWFILE_LEFT_SECONDS))
            on_removed(entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    buf_free(&path);
}
