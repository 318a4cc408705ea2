#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/str.h"

enum { MAX_LINKS = 40 /* as the kernel */, PROC_SUPER_MAGIC = 0x9fa0 };

struct place_walk {
    const char *path; /* for messages */
    int dir;
    struct buf rest; /* the rest of the path, not walked yet */
    size_t links;
    bool has_doubt; /* a last link that must belong to the owner of what it leads to */
    uid_t link_owner;
};

/* True when everybody may make names in the directory; a sticky bit only keeps others from
 * removing. */
static bool is_public_dir(const struct stat *dir)
{
    return (dir->st_mode & S_IWOTH) != 0 ||
           ((dir->st_mode & S_ISVTX) != 0 && (dir->st_mode & S_IWGRP) != 0);
}

static bool is_trusted(uid_t uid)
{
    return uid == geteuid() || uid == 0;
}

static int refuse_foreign_link(const struct place_walk *w, uid_t owner, struct err *e)
{
    return err_set(e, ERR_FAILED,
                   "%s: a symbolic link of user %lu is not followed where others can write: it "
                   "could have any file of yours overwritten. Use another path, or remove the link",
                   w->path, (unsigned long)owner);
}

static int judge_walked_link(struct place_walk *w, const struct stat *link, bool is_last,
                             struct err *e)
{
    struct stat dir;

    if (is_trusted(link->st_uid))
        return 0;
    if (fstat(w->dir, &dir) != 0)
        return err_errno(e, ERR_FAILED, errno, "%s", w->path);
    if (is_public_dir(&dir) && link->st_uid != dir.st_uid)
        return refuse_foreign_link(w, link->st_uid, e);
    if (is_last) {
        w->has_doubt = true;
        w->link_owner = link->st_uid;
    }
    return 0;
}

static int replace_dir(struct place_walk *w, int fd, struct err *e)
{
    if (fd < 0)
        return err_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, errno, "%s", w->path);
    if (w->dir >= 0)
        close(w->dir);
    w->dir = fd;
    return 0;
}

/* Puts the link's text in front of the rest. */
static int push_link_text(struct place_walk *w, const char *name, bool is_last, struct err *e)
{
    int fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), status = -1;
    struct buf rest = {0};
    struct stat st;
    ssize_t n = -1;

    if (fd >= 0 && fstat(fd, &st) == 0 && !buf_reserve(&rest, PATH_MAX))
        errno = ENOMEM;
    else if (fd >= 0 && rest.data != NULL)
        n = readlinkat(fd, "", rest.data, PATH_MAX - 1);
    if (n > 0 && ++w->links > MAX_LINKS) {
        n = -1;
        errno = ELOOP;
    }
    if (n <= 0) {
        err_errno(e, ERR_FAILED, errno, "%s", w->path);
    } else if (judge_walked_link(w, &st, is_last, e) == 0) {
        rest.len = (size_t)n;
        buf_putc(&rest, '/');
        buf_put_buf(&rest, &w->rest);
        if (is_last)
            rest.len--;
        buf_free(&w->rest);
        buf_cstr(&rest);
        w->rest = rest;
        rest = (struct buf){0};
        status = buf_check(&w->rest, e);
        if (status == 0 && w->rest.data[0] == '/')
            status = replace_dir(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), e);
    }
    if (fd >= 0)
        close(fd);
    buf_free(&rest);
    return status;
}

/* Takes the next name off the rest, which has room for its NUL (place_find, push_link_text); false
 * when it does not fit. *is_last: nothing follows. */
static bool take_next_name(struct place_walk *w, char name[NAME_MAX + 1], bool *is_last)
{
    const char *start = buf_cstr(&w->rest);
    size_t skipped = strspn(start, "/"), len = strcspn(start + skipped, "/");

    if (len > NAME_MAX)
        return false;
    memcpy(name, start + skipped, len);
    name[len] = '\0';
    buf_consume(&w->rest, skipped + len);
    *is_last = strspn(buf_cstr(&w->rest), "/") == w->rest.len;
    return true;
}

/* The links of /proc/PID are no texts. */
static bool is_of_kernel(int dir)
{
    struct statfs fs;

    return fstatfs(dir, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* 1: goes on; 0: place->name is the last; -1 on error. */
static int walk_step(struct place_walk *w, bool follows_last, struct place *place, struct err *e)
{
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    bool is_last;

    if (!take_next_name(w, place->name, &is_last))
        return cause_path(e, ERR_FAILED, ENAMETOOLONG, "cannot open", w->path);
    if (strcmp(place->name, "..") == 0 || strcmp(place->name, ".") == 0 || !*place->name) {
        if (place->name[0] != '\0' && place->name[1] != '\0' &&
            replace_dir(w, openat(w->dir, "..", flags), e) != 0)
            return -1;
        memcpy(place->name, ".", sizeof ".");
        place->is_there = fstat(w->dir, &place->st) == 0;
        if (!place->is_there)
            return cause_path(e, ERR_FAILED, errno, "cannot look at", w->path);
        return is_last ? 0 : 1;
    }
    place->is_there = fstatat(w->dir, place->name, &place->st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!place->is_there && errno != ENOENT)
        return cause_path(e, ERR_FAILED, errno, "cannot look at", w->path);
    if (place->is_there && S_ISLNK(place->st.st_mode) && is_of_kernel(w->dir)) {
        place->is_magic = is_last;
        if (is_last)
            place->is_there = fstatat(w->dir, place->name, &place->st, 0) == 0;
        return is_last ? 0 : replace_dir(w, openat(w->dir, place->name, O_PATH | O_DIRECTORY |
                                                                            O_CLOEXEC), e) == 0
                                  ? 1
                                  : -1;
    }
    if (place->is_there && S_ISLNK(place->st.st_mode) && (!is_last || follows_last)) {
        place->was_link |= is_last;
        return push_link_text(w, place->name, is_last, e) == 0 ? 1 : -1;
    }
    if (is_last)
        return 0;
    return replace_dir(w, openat(w->dir, place->name, flags), e) == 0 ? 1 : -1;
}

/* The last link leads to something of its owner's, or into a directory of its owner's. */
static int settle_doubt(const struct place_walk *w, const struct place *place, struct err *e)
{
    struct stat st = place->st;

    if (!w->has_doubt || (!place->is_there && fstat(w->dir, &st) != 0))
        return 0;
    return st.st_uid == w->link_owner ? 0 : refuse_foreign_link(w, w->link_owner, e);
}

/* True when the directory that is held can be named. */
static bool put_held_directory(int dir, struct buf *out)
{
    struct stat named, held;

    buf_printf(out, "/proc/self/fd/%d", dir);
    const char *name = buf_path(out, ERR_IGNORED);
    return name != NULL && stat(name, &named) == 0 && fstat(dir, &held) == 0 &&
           named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

/* Opens the place in `dir`, which it then owns. */
static int settle_place(struct place *place, int dir, const char *given, struct err *e)
{
    char *real = place->is_magic ? realpath(given, NULL) : NULL;
    bool is_held = !place->is_magic && put_held_directory(dir, &place->path);

    if (is_held) {
        buf_printf(&place->path, "/%s", place->name);
    } else if (!place->path.failed) {
        buf_clear(&place->path);
        buf_puts(&place->path, real != NULL ? real : given);
    }
    free(real);
    place->dir = dir;
    if (buf_path(&place->path, e) != NULL)
        return 0;
    place_close(place);
    return -1;
}

int place_find(const char *path, bool follows_last, struct place *out, struct err *e)
{
    struct place_walk w = {.path = path, .dir = -1};
    int status = 1;

    *out = (struct place){.dir = -1};
    if (path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (strlen(path) >= PATH_MAX)
        return cause_path(e, ERR_FAILED, ENAMETOOLONG, "cannot open", path);
    buf_puts(&w.rest, path);
    buf_cstr(&w.rest);
    if (buf_check(&w.rest, e) != 0 ||
        replace_dir(&w, open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC), e) != 0)
        status = -1;
    while (status == 1)
        status = walk_step(&w, follows_last, out, e);
    if (status == 0)
        status = settle_doubt(&w, out, e);
    if (status == 0)
        status = settle_place(out, w.dir, path, e);
    else if (w.dir >= 0)
        close(w.dir);
    buf_free(&w.rest);
    return status;
}

/* Opens the folder `name` of `dir`, made if it is missing. -1 with errno. */
static int enter_below(int dir, const char *name)
{
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);

    if (fd < 0 && errno == ENOENT && (mkdirat(dir, name, 0777) == 0 || errno == EEXIST))
        fd = openat(dir, name, flags);
    return fd;
}

/* Tells what stands in the way of a folder of that name. */
static int refuse_below(int dir, const char *name, const char *shown, int error, struct err *e)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return err_set(e, ERR_FAILED,
                       "%s is a symbolic link, and is not followed: it may lead out of the folder. "
                       "Remove it, or use another folder",
                       shown);
    if (error == ENOTDIR)
        return err_set(e, ERR_FAILED, "%s is there, and no folder", shown);
    return err_errno(e, ERR_FAILED, error, "cannot make the folder %s", shown);
}

/* Goes into the folders of `path`, up to its last name. */
static int walk_below(const char *root, struct str path, struct place *place, struct err *e)
{
    struct buf shown = {0};
    int status = 0;

    buf_puts(&shown, root);
    for (size_t slash = str_find(path, '/'); status == 0; slash = str_find(path, '/')) {
        bool is_last = slash == path.len;
        if (slash > NAME_MAX) {
            status = cause_path(e, ERR_FAILED, ENAMETOOLONG, "cannot write below", root);
            break;
        }
        memcpy(place->name, path.p, slash);
        place->name[slash] = '\0';
        if (is_last)
            break;
        buf_printf(&shown, "%s%s", str_ends_with(buf_str(&shown), STR("/")) ? "" : "/",
                   place->name);
        int fd = enter_below(place->dir, place->name), error = errno;
        if (fd < 0)
            status = refuse_below(place->dir, place->name, buf_cstr(&shown), error, e);
        else
            close(place->dir);
        place->dir = fd < 0 ? place->dir : fd;
        path = str_slice(path, slash + 1, path.len);
    }
    buf_free(&shown);
    return status;
}

int place_make_below(const char *root, struct str path, struct place *out, struct err *e)
{
    struct buf given = {0};
    int status = -1;

    *out = (struct place){.dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (out->dir < 0)
        return err_errno(e, ERR_FAILED, errno, "%s", root);
    buf_printf(&given, "%s%s%.*s", root, str_ends_with(str_of(root), STR("/")) ? "" : "/",
               STR_ARG(path));
    const char *name = buf_path(&given, e);
    if (name != NULL && strlen(name) >= PATH_MAX)
        cause_path(e, ERR_FAILED, ENAMETOOLONG, "cannot write below", root);
    else if (name != NULL)
        status = walk_below(root, path, out, e);
    if (status == 0) {
        out->is_there = fstatat(out->dir, out->name, &out->st, AT_SYMLINK_NOFOLLOW) == 0;
        status = settle_place(out, out->dir, name, e);
    } else {
        place_close(out);
    }
    buf_free(&given);
    return status;
}

void place_close(struct place *place)
{
    if (place->dir >= 0)
        close(place->dir);
    place->dir = -1;
    buf_free(&place->path);
}

int place_name_given(const struct place *place, const char *path, int status, struct err *e)
{
    const char *held = place->path.data;
    char *at = status == 0 || held == NULL ? NULL : strstr(e->msg, held);
    struct err told;

    if (at == NULL || strcmp(held, path) == 0)
        return status;
    told = *e;
    told.msg[at - e->msg] = '\0';
    err_set(e, told.code, "%s%s%s", told.msg, path, told.msg + (at - e->msg) + strlen(held));
    return status;
}

int place_check(const char *path, struct err *e)
{
    struct place place;
    struct err why = {0};
    int status = place_find(path, true, &place, &why);

    place_close(&place);
    return status == 0 || why.code == ERR_NOT_FOUND ? 0 : err_copy(e, &why);
}

static int refuse_file(const char *path, const struct stat *st, struct err *e)
{
    if (st->st_nlink > 1 && is_trusted(st->st_uid))
        return err_set(e, ERR_FAILED,
                       "%s has another name too (a hard link), and lies where others can write: "
                       "somebody may have made it so that another file of yours is written. Remove "
                       "it, or use another path",
                       path);
    return err_set(e, ERR_FAILED,
                   "%s belongs to user %lu, and lies where others can write: remove it, or use "
                   "another path",
                   path, (unsigned long)st->st_uid);
}

/* Checks a file that is open and was there before, under this name in this directory. */
static int judge_file(int fd, int dir_fd, const char *path, struct err *e)
{
    struct stat st, dir;

    if (fstat(fd, &st) != 0 || fstat(dir_fd, &dir) != 0)
        return err_errno(e, ERR_FAILED, errno, "%s", path);
    if (!is_public_dir(&dir) || S_ISCHR(st.st_mode))
        return 0;
    bool is_ours = is_trusted(st.st_uid) || st.st_uid == dir.st_uid;
    if (is_ours && (!S_ISREG(st.st_mode) || st.st_nlink <= 1))
        return 0;
    return refuse_file(path, &st, e);
}

int place_open_file(const char *path, int flags, mode_t mode, int *fd, struct err *e)
{
    struct place place;
    int opened = -1, status = -1, tries = 0;

    if (place_find(path, true, &place, e) != 0)
        return -1;
    do { /* another process may make or remove it between the two */
        opened = openat(place.dir, place.name, flags | O_NOFOLLOW | O_CREAT | O_EXCL, mode);
        status = opened >= 0 ? fchmod(opened, mode) & 0 : -1; /* not all file systems have modes */
        if (opened < 0 && errno == EEXIST)
            opened = openat(place.dir, place.name, flags | (place.is_magic ? 0 : O_NOFOLLOW));
    } while (opened < 0 && errno == ENOENT && ++tries < 3);
    if (opened < 0 && (errno == EACCES || errno == EPERM) && !place.is_there)
        cause_create(e, errno, path, NULL);
    else if (opened < 0)
        cause_path(e, ERR_FAILED, errno, "cannot open", path);
    else if (status != 0)
        status = judge_file(opened, place.dir, path, e);
    place_close(&place);
    if (status == 0)
        *fd = opened;
    else if (opened >= 0)
        close(opened);
    return status;
}

int place_check_open(int fd, const char *path, struct err *e)
{
    struct place place;
    struct stat st;
    int status = place_find(path, true, &place, e);

    /* A pipe of a shell's is no file of that name. */
    if (status == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        status = judge_file(fd, place.dir, path, e);
    place_close(&place);
    return status;
}
