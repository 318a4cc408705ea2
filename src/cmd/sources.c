#include "cmd/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "store/hash.h"
#include "store/tree.h"

enum { LIST_CHUNK = 65536, LIST_MAX_PATH = PATH_MAX };

struct sources {
    struct sources_options options;
    size_t next_path;
    struct tree *tree; /* of the directory in hand */
    struct follow follow; /* of the path in hand */
    struct buf path;
    int list_fd; /* -1: none, or at its end */
    bool is_list_ended, is_overlong;
    struct buf list;
    size_t list_used; /* bytes of `list` that were taken */
};

struct sources *sources_open(const struct sources_options *options, struct err *e)
{
    struct sources *s = calloc(1, sizeof *s);

    if (s == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    s->options = *options;
    s->list_fd = -1;
    s->is_list_ended = options->list == NULL;
    if (options->list == NULL)
        return s;
    if (strcmp(options->list, "-") == 0)
        s->list_fd = STDIN_FILENO;
    else
        s->list_fd = open(options->list, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (s->list_fd >= 0)
        return s;
    err_errno(e, ERR_FAILED, errno, "--files-from %s", options->list);
    sources_close(s);
    return NULL;
}

void sources_close(struct sources *s)
{
    if (s == NULL)
        return;
    if (s->list_fd > STDIN_FILENO)
        close(s->list_fd);
    tree_close(s->tree);
    buf_free(&s->path);
    buf_free(&s->list);
    free(s);
}

const struct follow *sources_follow(const struct sources *s)
{
    return &s->follow;
}

int sources_fd(const struct sources *s)
{
    return s->list_fd;
}

static int look_up(const struct follow *follow, const char *path, struct stat *st, struct err *e)
{
    struct follow_place place;

    if (follow->kind == FOLLOW_ALL)
        return stat(path, st) == 0 ? 0 : err_errno(e, ERR_FAILED, errno, "cannot open");
    if (follow_find(follow, path, &place, e) != 0)
        return -1;
    close(place.dir);
    *st = place.st;
    return 0;
}

static enum sources_step enter_tree(struct sources *s, const char *path, struct err *e)
{
    const struct tree_options options = {.skipped = s->options.skipped,
                                         .is_listed = s->follow.kind == FOLLOW_LISTED};

    s->tree = tree_open(path, &options, e);
    return s->tree == NULL ? SOURCES_BAD : SOURCES_WAIT;
}

/* What stands at s->path. SOURCES_WAIT: a tree, now open. */
static enum sources_step look_at(struct sources *s, int64_t *size, struct err *e)
{
    const char *path = buf_cstr(&s->path), *kind;
    struct stat st;

    if (look_up(&s->follow, path, &st, e) != 0)
        return SOURCES_BAD;
    if (S_ISDIR(st.st_mode) && s->options.is_recursive)
        return enter_tree(s, path, e);
    kind = hash_kind_of(st.st_mode);
    if (kind != NULL) {
        if (!S_ISDIR(st.st_mode))
            err_set(e, ERR_FAILED, "is %s: want a regular file", kind);
        else
            err_set(e, ERR_FAILED, "is %s: want a regular file, or %s for all files below it", kind,
                    s->options.for_trees);
        return SOURCES_BAD;
    }
    *size = st.st_size;
    return SOURCES_FILE;
}

static enum sources_step take_path(struct sources *s, const char *text, enum follow_kind kind,
                                   int64_t *size, struct err *e)
{
    s->follow = (struct follow){.kind = kind};
    buf_clear(&s->path);
    if (fs_absolute_path(text, &s->path, e) != 0) {
        buf_clear(&s->path);
        buf_puts(&s->path, text);
        return SOURCES_BAD;
    }
    return look_at(s, size, e);
}

static enum sources_step bad_list(struct sources *s, struct err *e)
{
    err_errno(e, ERR_FAILED, errno, "cannot read the list");
    buf_clear(&s->path);
    buf_puts(&s->path, s->options.list);
    s->is_list_ended = true;
    return SOURCES_BAD;
}

/* Reads more of the list, if that does not block. SOURCES_FILE: something was read. */
static enum sources_step read_list(struct sources *s, struct err *e)
{
    struct pollfd p = {.fd = s->list_fd, .events = POLLIN};

    buf_consume(&s->list, s->list_used);
    s->list_used = 0;
    if (poll(&p, 1, 0) == 0)
        return SOURCES_WAIT;
    if (!buf_reserve(&s->list, LIST_CHUNK))
        return bad_list(s, e);
    ssize_t n = read(s->list_fd, s->list.data + s->list.len, LIST_CHUNK);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return SOURCES_WAIT;
    if (n < 0)
        return bad_list(s, e);
    s->list.len += (size_t)n;
    s->is_list_ended = n == 0;
    return SOURCES_FILE;
}

static enum sources_step overlong(struct sources *s, struct str start, struct err *e)
{
    err_set(e, ERR_FAILED, "a path of more than %d bytes in the list", LIST_MAX_PATH);
    buf_clear(&s->path);
    buf_put(&s->path, str_slice(start, 0, 100));
    buf_puts(&s->path, "...");
    return SOURCES_BAD;
}

/* A list that is separated by NUL was not said to be, most likely. */
static enum sources_step has_nul(struct sources *s, struct str line, struct err *e)
{
    err_set(e, ERR_FAILED, "a NUL byte in the list: want -0 if that separates the paths");
    buf_clear(&s->path);
    buf_put(&s->path, str_slice(line, 0, str_find(line, '\0')));
    buf_puts(&s->path, "...");
    return SOURCES_BAD;
}

/* The next path of the list. SOURCES_WAIT: none yet, or a tree was opened. */
static enum sources_step next_of_list(struct sources *s, int64_t *size, bool *is_blocked,
                                      struct err *e)
{
    struct str rest = str_slice(buf_str(&s->list), s->list_used, s->list.len);
    size_t end = str_find(rest, s->options.is_nul_separated ? '\0' : '\n');
    bool is_whole = end < rest.len || (s->is_list_ended && rest.len > 0);

    if (!is_whole && rest.len > LIST_MAX_PATH) {
        bool was_overlong = s->is_overlong;
        s->is_overlong = true;
        s->list_used = s->list.len;
        return was_overlong ? SOURCES_WAIT : overlong(s, rest, e);
    }
    if (!is_whole && s->is_list_ended)
        return SOURCES_END;
    if (!is_whole) {
        enum sources_step step = read_list(s, e);
        *is_blocked = step == SOURCES_WAIT;
        return step == SOURCES_FILE ? SOURCES_WAIT : step;
    }
    bool is_tail = s->is_overlong;
    s->is_overlong = false;
    s->list_used += end + (end < rest.len);
    if (end == 0 || is_tail)
        return SOURCES_WAIT;
    if (end > LIST_MAX_PATH)
        return overlong(s, rest, e);
    if (memchr(rest.p, '\0', end) != NULL)
        return has_nul(s, str_slice(rest, 0, end), e);
    char text[LIST_MAX_PATH + 1];
    memcpy(text, rest.p, end);
    text[end] = '\0';
    return take_path(s, text, FOLLOW_LISTED, size, e);
}

static enum sources_step next_of_tree(struct sources *s, const char **path, int64_t *size,
                                      struct err *e)
{
    switch (tree_next(s->tree, path, size, e)) {
    case TREE_FILE:
        s->follow = *tree_follow(s->tree);
        return SOURCES_FILE;
    case TREE_BAD:
        return SOURCES_BAD;
    case TREE_END:
        break;
    }
    tree_close(s->tree);
    s->tree = NULL;
    return SOURCES_WAIT;
}

enum sources_step sources_next(struct sources *s, const char **path, int64_t *size,
                               struct err *e)
{
    enum sources_step step = SOURCES_WAIT;
    bool is_blocked = false;

    while (step == SOURCES_WAIT && !is_blocked) {
        if (s->tree != NULL) {
            step = next_of_tree(s, path, size, e);
            if (step != SOURCES_WAIT)
                return step;
            continue;
        }
        if (s->next_path < s->options.path_count)
            step = take_path(s, s->options.paths[s->next_path++], FOLLOW_ALL, size, e);
        else
            step = next_of_list(s, size, &is_blocked, e);
    }
    *path = buf_cstr(&s->path);
    return step;
}
