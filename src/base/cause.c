#include "base/cause.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

enum { NAME_SIZE = 48, WORDS_SIZE = 400 };

static void put_user_name(char out[NAME_SIZE], uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    if (user != NULL)
        snprintf(out, NAME_SIZE, "%s", user->pw_name);
    else
        snprintf(out, NAME_SIZE, "%lu", (unsigned long)uid);
}

static void put_group_name(char out[NAME_SIZE], gid_t gid)
{
    const struct group *group = getgrgid(gid);

    if (group != NULL)
        snprintf(out, NAME_SIZE, "%s", group->gr_name);
    else
        snprintf(out, NAME_SIZE, "%lu", (unsigned long)gid);
}

static bool is_in_group(gid_t gid)
{
    gid_t groups[256];
    int count = getgroups((int)(sizeof groups / sizeof groups[0]), groups);

    for (int i = 0; i < count; i++)
        if (groups[i] == gid)
            return true;
    return gid == getegid();
}

/* Cuts the last component off; false when there is none left. "." for a relative path. */
static bool cut_component(struct buf *path)
{
    size_t len = path->len;

    while (len > 1 && path->data[len - 1] == '/')
        len--;
    while (len > 0 && path->data[len - 1] != '/')
        len--;
    while (len > 1 && path->data[len - 1] == '/')
        len--;
    if (len == path->len || (path->len == 1 && path->data[0] == '.'))
        return false;
    path->len = len;
    if (len == 0)
        buf_putc(path, '.');
    return true;
}

/* A directory that is held open (place.h) by its own name. */
static void show_held(struct buf *dir)
{
    char real[PATH_MAX];
    ssize_t n;

    if (!str_starts_with(buf_str(dir), STR("/proc/self/fd/")))
        return;
    const char *link = buf_path(dir, ERR_IGNORED);
    n = link == NULL ? -1 : readlink(link, real, sizeof real);
    if (n <= 0 || real[0] != '/')
        return;
    buf_clear(dir);
    buf_append(dir, real, (size_t)n);
}

/* The deepest of the names above `path` that can be looked at. */
static bool find_directory(const char *path, struct buf *out, struct stat *st)
{
    buf_puts(out, path);
    if (out->failed || out->len == 0)
        return false;
    while (cut_component(out)) {
        const char *above = buf_path(out, ERR_IGNORED);
        if (above != NULL && stat(above, st) == 0) {
            show_held(out);
            return true;
        }
    }
    return false;
}

/* "it belongs to alice, group lab, mode 2755" */
static void put_owner_words(char *out, size_t size, const struct stat *st)
{
    char user[NAME_SIZE], group[NAME_SIZE];

    put_user_name(user, st->st_uid);
    put_group_name(group, st->st_gid);
    snprintf(out, size, "it belongs to user %s, group %s, mode %04o", user, group,
             (unsigned)(st->st_mode & 07777));
}

/* Writes who may change a directory that we may not write or enter, and the command that does
 * it. */
static void put_cure_words(char *out, size_t size, const struct stat *st, const char *dir,
                           const char *root)
{
    const char *whole = root != NULL ? root : dir, *all = root != NULL ? "-R " : "";
    mode_t wanted = root != NULL || access(dir, X_OK) == 0 ? S_IWGRP | S_IXGRP : S_IXGRP;
    char group[NAME_SIZE];

    put_group_name(group, st->st_gid);
    if (st->st_uid == geteuid())
        snprintf(out, size, "chmod u+rwx %s", dir);
    else if ((st->st_mode & wanted) == wanted)
        snprintf(out, size, "only members of group %s may write there: become one, and log in anew",
                 group);
    else if (is_in_group(st->st_gid))
        snprintf(out, size, "its owner can let group %s in: chmod %sg+rwX %s", group, all, whole);
    else
        snprintf(out, size, "its owner can share it: chgrp %sGROUP %s; chmod %sg+rwX %s", all,
                 whole, all, whole);
}

/* The first directory on the way that may not be entered; false when there is none. */
static bool find_barrier(const char *path, struct buf *out, struct stat *st)
{
    for (const char *end = strchr(path + 1, '/'); end != NULL; end = strchr(end + 1, '/')) {
        buf_clear(out);
        buf_append(out, path, (size_t)(end - path));
        const char *dir = buf_path(out, ERR_IGNORED);
        if (dir != NULL && stat(dir, st) == 0 && S_ISDIR(st->st_mode) &&
            access(dir, X_OK) != 0 && errno == EACCES)
            return true;
    }
    return false;
}

static void append_detail(struct err *e, const char *format, const char *what, const char *more)
{
    const struct err told = *e;
    char text[ERR_MESSAGE_SIZE];

    snprintf(text, sizeof text, format, what, more);
    err_set(e, told.code, "%s: %s", told.msg, text);
}

/* Writes who may open a file or directory that we may not read or enter, and the command that does
 * it. It never advises to open a file (it may be a key), nor a directory to everybody. */
static void put_way_in(char *out, size_t size, const struct stat *st, const char *path)
{
    char group[NAME_SIZE];

    put_group_name(group, st->st_gid);
    if (st->st_uid == geteuid())
        snprintf(out, size, "chmod u+rX %s", path);
    else if ((st->st_mode & S_IRGRP) != 0 && !is_in_group(st->st_gid))
        snprintf(out, size, "members of group %s may: become one, and log in anew", group);
    else if (!S_ISDIR(st->st_mode))
        snprintf(out, size, "ask its owner");
    else if (is_in_group(st->st_gid))
        snprintf(out, size, "its owner can let group %s in: chmod g+rX %s", group, path);
    else
        snprintf(out, size, "its owner can let a group in: chgrp GROUP %s; chmod g+rX %s", path,
                 path);
}

/* "it belongs to user …, mode 0700; cure"; `dir` is what stands before it, or "". */
static void append_owner(struct err *e, const char *format, const char *path, const struct stat *st,
                         const char *dir)
{
    char text[WORDS_SIZE + 4 * NAME_SIZE], owner[3 * NAME_SIZE], cure[WORDS_SIZE];

    put_owner_words(owner, sizeof owner, st);
    put_way_in(cure, sizeof cure, st, path);
    snprintf(text, sizeof text, "%s; %s", owner, cure);
    append_detail(e, format, *dir == '\0' ? "" : dir, text);
}

void cause_explain(const char *path, struct err *e)
{
    char target[PATH_MAX];
    struct buf dir = {0};
    struct stat st;
    ssize_t n;

    if (*path == '\0')
        return;
    int number = stat(path, &st) == 0 ? 0 : errno;
    if (number == 0) {
        if (access(path, R_OK) != 0 && errno == EACCES)
            append_owner(e, "%s%s", path, &st, "");
    } else if (number == EACCES && find_barrier(path, &dir, &st)) {
        append_owner(e, "%s may not be entered: %s", buf_cstr(&dir), &st, buf_cstr(&dir));
    } else if (number == ENOENT && lstat(path, &st) == 0 && S_ISLNK(st.st_mode) &&
               (n = readlink(path, target, sizeof target - 1)) > 0) {
        target[n] = '\0';
        append_detail(e, "a symbolic link to %s, which is not there%s", target, "");
    }
    buf_free(&dir);
}

static int set_denied(struct err *e, int number, const char *path, const char *root)
{
    char owner[3 * NAME_SIZE], cure[WORDS_SIZE];
    struct buf dir = {0};
    struct stat st;

    bool is_found = find_directory(path, &dir, &st) && S_ISDIR(st.st_mode);
    const char *above = is_found ? buf_path(&dir, ERR_IGNORED) : NULL;
    if (above == NULL) {
        err_errno(e, ERR_FAILED, number, "cannot create %s", path);
    } else if (access(above, W_OK | X_OK) == 0) { /* by NFS, or cured meanwhile */
        err_errno(e, ERR_FAILED, number, "cannot create a file in %s", above);
    } else {
        put_owner_words(owner, sizeof owner, &st);
        put_cure_words(cure, sizeof cure, &st, above, root);
        err_set(e, ERR_FAILED, "cannot create a file in %s: %s: %s; %s", above,
                strerror(number), owner, cure);
    }
    buf_free(&dir);
    return -1;
}

bool cause_is_denied(const char *path)
{
    struct buf dir = {0};
    struct stat st;
    bool is_found = find_directory(path, &dir, &st) && S_ISDIR(st.st_mode);
    const char *above = is_found ? buf_path(&dir, ERR_IGNORED) : NULL;
    bool result = above != NULL && access(above, W_OK | X_OK) != 0 && errno == EACCES;

    buf_free(&dir);
    return result;
}

int cause_create(struct err *e, int number, const char *path, const char *root)
{
    if (number == EACCES || number == EPERM)
        return set_denied(e, number, path, root);
    return cause_path(e, number == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, number, "cannot create",
                      path);
}

int cause_path(struct err *e, enum err_code code, int number, const char *doing, const char *path)
{
    return err_errno(e, code, number, "%s %s", doing, path);
}
