#include "store/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "store/hash.h"

/* The first byte of a stored name. */
enum { NAME_FILE = 'f', NAME_DIRECTORY = 'd' };

/* So many directories are open at most: the root, and the innermost. */
enum { OPEN_LEVELS = 48 };

struct level {
    int fd; /* -1: closed for a while */
    dev_t device;
    ino_t inode;
    size_t path_len; /* of the directory's path, with its slash */
    char *names;     /* type byte, name, NUL, and so on */
    char **sorted;
    size_t count, next;
};

struct tree {
    struct buf path;
    struct level *levels;
    size_t depth, cap;
    bool has_begun;
    struct tree_options options;
    struct stat skipped;
    struct follow follow;
};

struct tree *tree_open(const char *path, const struct tree_options *options, struct err *e)
{
    struct tree *tree = calloc(1, sizeof *tree);

    if (tree != NULL)
        buf_puts(&tree->path, path);
    if (tree == NULL || tree->path.failed) {
        tree_close(tree);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    if (options != NULL)
        tree->options = *options;
    if (tree->options.skipped != NULL) {
        tree->skipped = *tree->options.skipped;
        tree->options.skipped = &tree->skipped;
    }
    tree->follow.kind = FOLLOW_TREE;
    return tree;
}

const struct follow *tree_follow(const struct tree *tree)
{
    return &tree->follow;
}

static void free_level(struct level *level)
{
    if (level->fd >= 0)
        close(level->fd);
    free(level->names);
    free(level->sorted);
    *level = (struct level){.fd = -1};
}

void tree_close(struct tree *tree)
{
    if (tree == NULL)
        return;
    while (tree->depth > 0)
        free_level(&tree->levels[--tree->depth]);
    free(tree->levels);
    buf_free(&tree->path);
    free(tree);
}

/* A directory sorts as if its name ended with '/', so that whole paths come in byte order. */
static int compare_by_path(const void *a, const void *b)
{
    const unsigned char *x = *(unsigned char *const *)a, *y = *(unsigned char *const *)b;
    size_t i = 1;

    while (x[i] != '\0' && x[i] == y[i])
        i++;
    int p = x[i] == '\0' && x[0] == NAME_DIRECTORY ? '/' : x[i];
    int q = y[i] == '\0' && y[0] == NAME_DIRECTORY ? '/' : y[i];
    return p - q;
}

/* The first byte of the stored name; 0 for one that cannot be looked at. */
static char kind_of_entry(int dir, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR ? NAME_DIRECTORY : NAME_FILE;
    if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? NAME_FILE : 0;
    return S_ISDIR(st.st_mode) ? NAME_DIRECTORY : NAME_FILE;
}

static int read_directory_names(DIR *dir, struct buf *names, size_t *count, struct err *e)
{
    struct dirent *entry;

    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char kind = kind_of_entry(dirfd(dir), entry);
        if (kind == 0)
            return err_errno(e, ERR_FAILED, errno, "cannot look at %s", entry->d_name);
        buf_putc(names, kind);
        buf_append(names, entry->d_name, strlen(entry->d_name) + 1);
        ++*count;
    }
    if (errno != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot read the directory");
    return buf_check(names, e);
}

static int sort_names(struct level *level, struct buf *names, struct err *e)
{
    level->sorted = malloc((level->count + 1) * sizeof *level->sorted);
    if (level->sorted == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    level->names = buf_take(names);
    if (level->names == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    char *p = level->names;
    for (size_t i = 0; i < level->count; i++) {
        level->sorted[i] = p;
        p += strlen(p) + 1;
    }
    qsort(level->sorted, level->count, sizeof *level->sorted, compare_by_path);
    return 0;
}

static int push_level(struct tree *tree, const struct level *level, struct err *e)
{
    if (tree->depth == tree->cap) {
        size_t cap = tree->cap == 0 ? 16 : 2 * tree->cap;
        struct level *levels = realloc(tree->levels, cap * sizeof *levels);
        if (levels == NULL)
            return err_set(e, ERR_FAILED, "out of memory");
        tree->levels = levels;
        tree->cap = cap;
    }
    tree->levels[tree->depth++] = *level;
    if (tree->depth > OPEN_LEVELS) {
        struct level *outer = &tree->levels[tree->depth - OPEN_LEVELS];
        close(outer->fd);
        outer->fd = -1;
    }
    return 0;
}

/* Opens the directory around the innermost level again: it must be the one that it was. */
static int reopen_outer(struct level *outer, const struct level *inner, struct err *e)
{
    struct stat st;
    int fd = openat(inner->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, ERR_FAILED, errno, "cannot go back to the directory");
    if (fstat(fd, &st) == 0 && st.st_dev == outer->device && st.st_ino == outer->inode) {
        outer->fd = fd;
        return 0;
    }
    close(fd);
    return err_set(e, ERR_FAILED, "a directory in it was moved meanwhile: the rest of it was not "
                   "looked at");
}

/* Leaves the innermost level. On failure the one around it has no more names. */
static int pop_level(struct tree *tree, struct err *e)
{
    struct level *inner = &tree->levels[--tree->depth];
    struct level *outer = tree->depth == 0 ? NULL : inner - 1;
    int status = 0;

    if (outer != NULL && outer->fd < 0)
        status = reopen_outer(outer, inner, e);
    if (status == 0 || outer == NULL) {
        free_level(inner);
        return status;
    }
    /* Each of those further out fails alike, up to one that is open. */
    outer->fd = inner->fd;
    inner->fd = -1;
    outer->next = outer->count;
    free_level(inner);
    tree->path.len = outer->path_len;
    return -1;
}
static bool is_skipped(const struct tree *tree, const struct stat *st)
{
    const struct stat *skipped = tree->options.skipped;

    return skipped != NULL && st->st_dev == skipped->st_dev && st->st_ino == skipped->st_ino;
}

/* Returns whether the name at tree->path, which is `path`, is wanted. */
static bool is_taken(struct tree *tree, const char *path, char type)
{
    const struct tree_options *o = &tree->options;

    return o->takes == NULL ||
           o->takes(o->owner, path + tree->follow.root_len, type == NAME_DIRECTORY);
}

static int open_listed_root(const char *path, struct err *e)
{
    const struct follow listed = {.kind = FOLLOW_LISTED};
    struct follow_place place;

    if (follow_find(&listed, path, &place, e) != 0)
        return -1;
    int fd = openat(place.dir, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        err_errno(e, ERR_FAILED, errno, "cannot read the directory");
    close(place.dir);
    return fd;
}

/* Opens the directory at tree->path; an inner one by its name in the one around it. */
static int open_directory(const struct tree *tree, const char *path, int *number, struct err *e)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd;

    *number = 0;
    if (tree->depth == 0 && tree->options.is_listed)
        return open_listed_root(path, e);
    if (tree->depth == 0) {
        fd = open(path, flags);
    } else {
        const struct level *outer = &tree->levels[tree->depth - 1];
        fd = openat(outer->fd, path + outer->path_len, flags | O_NOFOLLOW);
    }
    if (fd < 0) {
        *number = errno;
        err_errno(e, ERR_FAILED, errno, "cannot read the directory");
    }
    return fd;
}

/* Reads all names of level->fd, sorted. */
static int read_level(const struct tree *tree, struct level *level, struct err *e)
{
    struct buf names = {0};
    struct stat st;
    int status = -1;

    if (fstat(level->fd, &st) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot read the directory");
    level->device = st.st_dev;
    level->inode = st.st_ino;
    int again = fcntl(level->fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    if (dir == NULL) {
        err_errno(e, ERR_FAILED, errno, "cannot read the directory");
        if (again >= 0)
            close(again);
        return -1;
    }
    if (is_skipped(tree, &st) || read_directory_names(dir, &names, &level->count, e) == 0)
        status = sort_names(level, &names, e);
    buf_free(&names);
    closedir(dir);
    return status;
}

static bool means_gone(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ELOOP || number == ESTALE;
}

/* Reads the directory at tree->path and makes it the innermost level. */
static int enter_tree_directory(struct tree *tree, struct err *e)
{
    struct level level = {.fd = -1};
    int number;

    if (tree->path.len >= PATH_MAX)
        return err_errno(e, ERR_FAILED, ENAMETOOLONG, "cannot read the directory");
    const char *path = buf_path(&tree->path, e);
    level.fd = path == NULL ? -1 : open_directory(tree, path, &number, e);
    if (path == NULL)
        return -1;
    if (level.fd < 0)
        return tree->options.is_lenient && means_gone(number) ? 0 : -1;
    if (tree->path.data[tree->path.len - 1] != '/')
        buf_putc(&tree->path, '/');
    level.path_len = tree->path.len;
    if (buf_check(&tree->path, e) == 0 && read_level(tree, &level, e) == 0 &&
        push_level(tree, &level, e) == 0) {
        if (tree->depth == 1) {
            tree->follow.root_len = level.path_len;
            tree->follow.root_device = (uint64_t)level.device;
            tree->follow.root_inode = (uint64_t)level.inode;
        }
        return 0;
    }
    free_level(&level);
    return -1;
}

/* Looks at the target of a link; the error names the cause. False for a directory, which is not
 * entered. */
static bool look_at_link(struct tree *tree, const char *name, struct stat *st, struct err *e)
{
    const struct level *level = &tree->levels[tree->depth - 1];
    struct follow_place place;
    struct stat target;

    if (follow_find_at(&tree->follow, level->fd, name, &place, e) != 0) {
        st->st_mode = S_IFLNK;
        return fstatat(level->fd, name, &target, 0) != 0 || !S_ISDIR(target.st_mode);
    }
    close(place.dir);
    *st = place.st;
    return !S_ISDIR(st->st_mode);
}

/* Looks at the file at tree->path, which is no directory itself. False for a link to a
 * directory. */
static bool look_at_tree_file(struct tree *tree, int64_t *size, enum tree_step *step, struct err *e)
{
    const struct level *level = &tree->levels[tree->depth - 1];
    const char *name = tree->path.data + level->path_len, *kind; /* NUL: advance_tree */
    struct stat st;

    *step = TREE_BAD;
    if (tree->path.len >= PATH_MAX) {
        err_errno(e, ERR_FAILED, ENAMETOOLONG, "cannot open");
        return true;
    }
    if (fstatat(level->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot open");
        return true;
    }
    if (S_ISLNK(st.st_mode) && !look_at_link(tree, name, &st, e))
        return false;
    if (S_ISLNK(st.st_mode))
        return true;
    if (S_ISDIR(st.st_mode))
        return false;
    kind = hash_kind_of(st.st_mode);
    if (kind != NULL) {
        err_set(e, ERR_FAILED, "is %s: want a regular file", kind);
        return true;
    }
    *size = st.st_size;
    *step = TREE_FILE;
    return true;
}

/* Puts the next name of the innermost level into tree->path; its type, or 0 at the end. */
static char next_name(struct tree *tree)
{
    struct level *level = &tree->levels[tree->depth - 1];

    if (level->next == level->count)
        return 0;
    const char *name = level->sorted[level->next++];
    tree->path.len = level->path_len;
    buf_puts(&tree->path, name + 1);
    return name[0];
}

/* Goes one name on. True with a *step to report. */
static bool advance_tree(struct tree *tree, int64_t *size, enum tree_step *step, struct err *e)
{
    char type = next_name(tree);

    *step = TREE_BAD;
    if (type == 0)
        return pop_level(tree, e) != 0;
    const char *path = buf_path(&tree->path, e);
    if (path == NULL) {
        tree->path.failed = false; /* the next name may fit */
        return true;
    }
    if (!is_taken(tree, path, type))
        return false;
    if (type == NAME_DIRECTORY)
        return enter_tree_directory(tree, e) != 0;
    if (!tree->options.is_names_only)
        return look_at_tree_file(tree, size, step, e);
    *size = 0;
    *step = TREE_FILE;
    return true;
}

enum tree_step tree_next(struct tree *tree, const char **path, int64_t *size, struct err *e)
{
    enum tree_step step = TREE_BAD;
    bool has_news = false;

    if (!tree->has_begun) {
        tree->has_begun = true;
        has_news = enter_tree_directory(tree, e) != 0;
    }
    while (!has_news && tree->depth > 0)
        has_news = advance_tree(tree, size, &step, e);
    if (!has_news)
        return TREE_END;
    *path = buf_cstr(&tree->path);
    return step;
}
