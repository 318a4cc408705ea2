#include "store/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "store/hash.h"

/* The first byte of a stored name. */
enum { NAME_FILE = 'f', NAME_DIRECTORY = 'd' };

struct level {
    size_t path_len; /* of the directory's path, with its slash */
    char *names;     /* type byte, name, NUL, and so on */
    char **sorted;
    size_t count, next;
};

struct tree {
    struct buf path;
    struct level *levels;
    size_t depth, cap;
    bool has_begun, has_skipped;
    struct stat skipped;
};

struct tree *tree_open(const char *path, const struct stat *skipped, struct err *e)
{
    struct tree *tree = calloc(1, sizeof *tree);

    if (tree != NULL)
        buf_puts(&tree->path, path);
    if (tree == NULL || tree->path.failed) {
        tree_close(tree);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    tree->has_skipped = skipped != NULL;
    if (skipped != NULL)
        tree->skipped = *skipped;
    return tree;
}

static void free_level(struct level *level)
{
    free(level->names);
    free(level->sorted);
    *level = (struct level){0};
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
static int by_path(const void *a, const void *b)
{
    const unsigned char *x = *(unsigned char *const *)a, *y = *(unsigned char *const *)b;
    size_t i = 1;

    while (x[i] != '\0' && x[i] == y[i])
        i++;
    int p = x[i] == '\0' && x[0] == NAME_DIRECTORY ? '/' : x[i];
    int q = y[i] == '\0' && y[0] == NAME_DIRECTORY ? '/' : y[i];
    return p - q;
}

static bool is_directory(int dir, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int read_names(DIR *dir, struct buf *names, size_t *count, struct err *e)
{
    struct dirent *entry;

    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        buf_putc(names, is_directory(dirfd(dir), entry) ? NAME_DIRECTORY : NAME_FILE);
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
    qsort(level->sorted, level->count, sizeof *level->sorted, by_path);
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
    return 0;
}

static bool is_skipped(const struct tree *tree, int fd)
{
    struct stat st;

    return tree->has_skipped && fstat(fd, &st) == 0 && st.st_dev == tree->skipped.st_dev &&
           st.st_ino == tree->skipped.st_ino;
}

/* Reads the directory at tree->path and makes it the innermost level. */
static int enter(struct tree *tree, struct err *e)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (tree->depth > 0 ? O_NOFOLLOW : 0);
    int fd = open(buf_cstr(&tree->path), flags);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct buf names = {0};
    struct level level = {0};
    int status = -1;

    if (dir == NULL) {
        err_errno(e, ERR_FAILED, errno, "cannot read the directory");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!is_skipped(tree, fd) && read_names(dir, &names, &level.count, e) != 0)
        goto out;
    if (tree->path.data[tree->path.len - 1] != '/')
        buf_putc(&tree->path, '/');
    level.path_len = tree->path.len;
    if (sort_names(&level, &names, e) == 0 && buf_check(&tree->path, e) == 0)
        status = push_level(tree, &level, e);
    if (status != 0)
        free_level(&level);
out:
    buf_free(&names);
    closedir(dir);
    return status;
}

/* What stands at tree->path, which is no directory itself. False for a link to a directory. */
static bool look_at_file(struct tree *tree, int64_t *size, enum tree_step *step, struct err *e)
{
    struct stat st;
    const char *kind;

    *step = TREE_BAD;
    if (stat(buf_cstr(&tree->path), &st) != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot open");
        return true;
    }
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

enum tree_step tree_next(struct tree *tree, const char **path, int64_t *size, struct err *e)
{
    enum tree_step step = TREE_BAD;

    if (!tree->has_begun) {
        tree->has_begun = true;
        if (enter(tree, e) != 0) {
            *path = buf_cstr(&tree->path);
            return TREE_BAD;
        }
    }
    while (tree->depth > 0) {
        char type = next_name(tree);
        if (type == 0)
            free_level(&tree->levels[--tree->depth]);
        else if (type == NAME_DIRECTORY ? enter(tree, e) != 0
                                        : look_at_file(tree, size, &step, e)) {
            *path = buf_cstr(&tree->path);
            return step;
        }
    }
    return TREE_END;
}
