#include "store/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/quote.h"
#include "base/str.h"

enum { MAX_LINKS = 40 /* as the kernel */, CLIMB_MAX = PATH_MAX };

/* One search. */
struct follow_search {
    const struct follow *follow;
    size_t links;
    /* The first link of a listed path that is allowed only if everybody may read the file. */
    bool is_doubtful;
    struct err doubt;
};

bool follow_is_equal(const struct follow *a, const struct follow *b)
{
    return a->kind == b->kind && a->root_len == b->root_len &&
           a->root_device == b->root_device && a->root_inode == b->root_inode;
}

static int fail_to_open(struct err *e, int number)
{
    return err_errno(e, ERR_FAILED, number, "cannot open");
}

static void close_place(struct follow_place *place)
{
    close(place->dir);
    place->dir = -1;
}

static bool is_root_of(const struct follow *f, const struct stat *st)
{
    return (uint64_t)st->st_dev == f->root_device && (uint64_t)st->st_ino == f->root_inode;
}

/* Goes up from place->dir, to the end or until `sees` is true. -1 where going up fails. */
static int climb_from(const struct follow_place *place,
                      bool (*sees)(const struct follow *f, const struct stat *st),
                      const struct follow *f)
{
    int fd = fcntl(place->dir, F_DUPFD_CLOEXEC, 0);
    struct stat st, last = {0};
    int result = -1;

    for (int i = 0; fd >= 0 && i < CLIMB_MAX && fstat(fd, &st) == 0; i++) {
        if (sees(f, &st))
            result = 1;
        else if (i > 0 && st.st_dev == last.st_dev && st.st_ino == last.st_ino)
            result = 0;
        if (result >= 0)
            break;
        last = st;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
    }
    if (fd >= 0)
        close(fd);
    return result;
}

static bool is_target_inside(const struct follow *f, const struct follow_place *target)
{
    return f->kind == FOLLOW_TREE &&
           (is_root_of(f, &target->st) || climb_from(target, is_root_of, f) == 1);
}

static bool is_closed_to_others(const struct follow *f, const struct stat *st)
{
    (void)f;
    return (st->st_mode & S_IXOTH) == 0;
}

static bool is_for_everybody(const struct follow_place *place)
{
    const mode_t needed = S_ISDIR(place->st.st_mode) ? S_IROTH | S_IXOTH : S_IROTH;

    return (place->st.st_mode & needed) == needed &&
           climb_from(place, is_closed_to_others, NULL) == 0;
}

/* Decides whether a link that leads to `target` may be followed. */
static int judge_target(struct follow_search *s, const struct stat *link,
                        const struct follow_place *target, struct err *e)
{
    bool is_tree = s->follow->kind == FOLLOW_TREE;

    if (s->follow->kind == FOLLOW_ALL || link->st_uid == geteuid() || link->st_uid == 0 ||
        link->st_uid == target->st.st_uid || is_target_inside(s->follow, target))
        return 0;
    struct err *refusal = is_tree ? e : &s->doubt;
    if (is_tree || !s->is_doubtful)
        err_set(refusal, ERR_REFUSED,
                "a symbolic link of user %lu to a file of user %lu%s is not followed: anybody who "
                "may make links here could give away your files with them. To add that file, give "
                "its own path",
                (unsigned long)link->st_uid, (unsigned long)target->st.st_uid,
                is_tree ? " outside the tree" : "");
    s->is_doubtful = true;
    return is_tree ? -1 : 0;
}

static int resolve_path(struct follow_search *s, int dir, const char *path,
                        struct follow_place *place, struct err *e);

/* `link` is open (O_PATH), and a name in `dir`. */
static int follow_open_link(struct follow_search *s, int dir, int link, const struct stat *st,
                            struct follow_place *place, struct err *e)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(link, "", text, sizeof text - 1);

    if (n < 0)
        return fail_to_open(e, errno);
    text[n] = '\0';
    if (++s->links > MAX_LINKS)
        return fail_to_open(e, ELOOP);
    if (resolve_path(s, dir, text, place, e) != 0)
        return -1;
    if (judge_target(s, st, place, e) == 0)
        return 0;
    close_place(place);
    return -1;
}

/* Opened with O_DIRECTORY, which also mounts what is to be mounted there. */
static int enter_directory(int dir, struct follow_place *found, struct err *e)
{
    int fd = openat(dir, found->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return fail_to_open(e, errno);
    if (fstat(fd, &found->st) != 0) {
        fail_to_open(e, errno);
        close(fd);
        return -1;
    }
    found->dir = fd;
    memcpy(found->name, ".", sizeof ".");
    return 0;
}

/* The place that `name` is in `dir`, links followed. */
static int find_name(struct follow_search *s, int dir, struct str name, struct follow_place *place,
                     struct err *e)
{
    struct follow_place found = {.dir = -1};
    int status = -1;

    if (name.len > NAME_MAX)
        return fail_to_open(e, ENAMETOOLONG);
    memcpy(found.name, name.p, name.len);
    if (fstatat(dir, found.name, &found.st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(found.st.st_mode)) {
        found.dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
        if (found.dir < 0)
            return fail_to_open(e, errno);
        *place = found;
        return 0;
    }
    int fd = openat(dir, found.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_to_open(e, errno);
    if (fstat(fd, &found.st) != 0) {
        fail_to_open(e, errno);
    } else if (S_ISLNK(found.st.st_mode)) {
        status = follow_open_link(s, dir, fd, &found.st, place, e);
    } else if (S_ISDIR(found.st.st_mode)) {
        status = enter_directory(dir, &found, e);
        if (status == 0)
            *place = found;
    } else {
        found.dir = fcntl(dir, F_DUPFD_CLOEXEC, 0);
        status = found.dir < 0 ? fail_to_open(e, errno) : 0;
        if (status == 0)
            *place = found;
    }
    close(fd);
    return status;
}

/* The next component of *path, which is taken off; empty at the end. */
static struct str take_component(const char **path)
{
    const char *start = *path + strspn(*path, "/");
    size_t len = strcspn(start, "/");

    *path = start + len;
    return (struct str){start, len};
}

/* A path, absolute or from `dir`. */
static int resolve_path(struct follow_search *s, int dir, const char *path,
                        struct follow_place *place, struct err *e)
{
    struct follow_place at = {.name = "."};
    struct str name;

    if (path[0] == '\0')
        return fail_to_open(e, ENOENT);
    at.dir = path[0] == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
                            : openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at.dir < 0)
        return fail_to_open(e, errno);
    if (fstat(at.dir, &at.st) != 0)
        goto out;
    while (name = take_component(&path), name.len > 0 || path[-1] == '/') {
        struct follow_place next;
        if (!S_ISDIR(at.st.st_mode)) {
            errno = ENOTDIR;
            goto out;
        }
        if (name.len == 0)
            break;
        if (find_name(s, at.dir, name, &next, e) != 0) {
            close(at.dir);
            return -1;
        }
        close(at.dir);
        at = next;
    }
    *place = at;
    return 0;
out:
    fail_to_open(e, errno);
    close(at.dir);
    return -1;
}

static int open_root(const struct follow *f, const char *path, int *fd, struct err *e)
{
    char root[PATH_MAX];
    struct stat st;

    if (f->root_len == 0 || f->root_len >= sizeof root)
        return fail_to_open(e, ENAMETOOLONG);
    memcpy(root, path, f->root_len);
    root[f->root_len] = '\0';
    *fd = openat(AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return fail_to_open(e, errno);
    if (fstat(*fd, &st) == 0 && is_root_of(f, &st))
        return 0;
    close(*fd);
    return err_set(e, ERR_REFUSED, "the directory %s was replaced by another one meanwhile: "
                   "do it again", root);
}

/* Real directories alone, down to the one that holds the last name. */
static int descend_to_last(int *dir, const char **rest, struct err *e)
{
    const char *slash;

    while ((slash = strchr(*rest, '/')) != NULL) {
        struct str name = {*rest, (size_t)(slash - *rest)};
        char text[NAME_MAX + 1] = "";
        if (name.len > NAME_MAX)
            return fail_to_open(e, ENAMETOOLONG);
        memcpy(text, name.p, name.len);
        int next = openat(*dir, text, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && (errno == ELOOP || errno == ENOTDIR)) {
            char quoted[QUOTE_SIZE];
            return err_set(e, ERR_REFUSED, "its directory %s was replaced by a link meanwhile",
                           quote_str(quoted, name));
        }
        if (next < 0)
            return fail_to_open(e, errno);
        close(*dir);
        *dir = next;
        *rest = slash + 1;
    }
    return 0;
}

int follow_find_at(const struct follow *f, int dir, const char *name, struct follow_place *place,
                   struct err *e)
{
    struct follow_search s = {.follow = f};

    return find_name(&s, dir, str_of(name), place, e);
}

/* The directory of the last file, for the next one: a tree's files come directory by directory. It
 * is held, so nobody puts another one in its place; once it was changed or moved, the way is gone
 * again. */
static struct {
    struct follow follow;
    struct buf path; /* with its slash; empty: none is held */
    struct stat as_opened;
    int fd;
} last;

/* False also in a child, which has closed what its parent held. */
static bool is_still_open(struct stat *st)
{
    return last.path.len > 0 && fstat(last.fd, st) == 0 && st->st_dev == last.as_opened.st_dev &&
           st->st_ino == last.as_opened.st_ino;
}

static bool is_last_directory(const struct follow *f, struct str directory)
{
    struct stat st;

    return str_equal(buf_str(&last.path), directory) && follow_is_equal(f, &last.follow) &&
           is_still_open(&st) && st.st_ctim.tv_sec == last.as_opened.st_ctim.tv_sec &&
           st.st_ctim.tv_nsec == last.as_opened.st_ctim.tv_nsec;
}

/* Takes `dir` over. */
static void keep_last_directory(const struct follow *f, struct str directory, int dir)
{
    struct stat st;

    if (is_still_open(&st))
        close(last.fd);
    buf_clear(&last.path);
    last.follow = *f;
    last.fd = dir;
    if (fstat(dir, &last.as_opened) == 0)
        buf_put(&last.path, directory);
    if (last.path.len == 0)
        close(dir);
}

static int find_in_tree(const struct follow *f, const char *path, struct follow_place *place,
                        struct err *e)
{
    const char *rest = path + f->root_len, *name = strrchr(path, '/');
    int dir = -1, status = -1;
    struct str directory = {path, name == NULL ? 0 : (size_t)(name + 1 - path)};

    if (is_last_directory(f, directory))
        return follow_find_at(f, last.fd, name + 1, place, e);
    if (open_root(f, path, &dir, e) != 0)
        return -1;
    if (descend_to_last(&dir, &rest, e) != 0) {
        close(dir);
        return -1;
    }
    status = follow_find_at(f, dir, rest, place, e);
    keep_last_directory(f, directory, dir);
    return status;
}

int follow_find(const struct follow *f, const char *path, struct follow_place *place,
                struct err *e)
{
    struct follow_search s = {.follow = f};

    if (f->kind == FOLLOW_TREE)
        return find_in_tree(f, path, place, e);
    if (resolve_path(&s, AT_FDCWD, path, place, e) != 0)
        return -1;
    if (!s.is_doubtful || is_for_everybody(place))
        return 0;
    close_place(place);
    return err_set(e, s.doubt.code, "%s", s.doubt.msg);
}
