#include "cmd/sources.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/glob.h"
#include "base/oddity.h"
#include "base/str.h"
#include "base/text_lines.h"
#include "store/hash.h"
#include "store/tree.h"

enum { LIST_MAX_PATH = PATH_MAX };

struct sources {
    struct sources_options options;
    size_t next_path;
    struct tree *tree; /* of the directory in hand */
    struct follow follow; /* of the path in hand */
    struct buf whole;     /* a path of the tree, made absolute */
    struct buf path;
    struct text_lines list;
};

struct sources *sources_open(const struct sources_options *options, struct err *e)
{
    struct sources *s = calloc(1, sizeof *s);

    if (s == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    s->options = *options;
    s->list = (struct text_lines){.fd = -1, .is_ended = true};
    if (options->list == NULL || text_lines_open(&s->list, options->list,
                                                 options->is_nul_separated, LIST_MAX_PATH, e) == 0)
        return s;
    err_wrap(e, "--files-from");
    sources_close(s);
    return NULL;
}

void sources_close(struct sources *s)
{
    if (s == NULL)
        return;
    text_lines_close(&s->list);
    tree_close(s->tree);
    buf_free(&s->path);
    buf_free(&s->whole);
    free(s);
}

const struct follow *sources_follow(const struct sources *s)
{
    return &s->follow;
}

bool sources_is_in_tree(const struct sources *s)
{
    return s->tree != NULL;
}

int sources_fd(const struct sources *s)
{
    return s->list.fd;
}

static int stat_source(const struct follow *follow, const char *path, struct stat *st,
                       struct err *e)
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

/* tree_options.takes: s->path names the tree's root. */
static bool takes_path(void *owner, const char *path, bool is_directory)
{
    struct sources *s = owner;

    for (size_t i = 0; i < s->options.excluded_count; i++) {
        const char *pattern = s->options.excluded[i];
        if (glob_excludes(pattern, path, is_directory))
            return false;
        if (pattern[0] != '/')
            continue;
        buf_clear(&s->whole);
        buf_put_buf(&s->whole, &s->path);
        buf_printf(&s->whole, "/%s", path);
        const char *whole = buf_path(&s->whole, ERR_IGNORED);
        if (whole == NULL)
            return true; /* next_of_tree sees that it failed */
        if (glob_excludes(pattern, whole + strspn(whole, "/"), is_directory))
            return false;
    }
    return true;
}

/* 1 when what the user named in these words is left out too, else 0; -1 without memory. But "." and
 * ".." are no names. */
static int is_left_out(const struct sources *s, const char *text, bool is_directory,
                       struct err *e)
{
    const bool is_absolute = text[0] == '/';
    struct buf name = {0};
    bool is_out = false;

    while (strncmp(text, "./", 2) == 0 || text[0] == '/')
        text += text[0] == '/' ? 1 : 2;
    buf_puts(&name, text);
    while (name.len > 0 && name.data[name.len - 1] == '/')
        name.len--;
    const char *plain = buf_cstr(&name), *slash = strrchr(plain, '/');
    const char *base = slash == NULL ? plain : slash + 1;
    int result = buf_check(&name, e);
    bool is_name = base[0] != '\0' && strcmp(base, ".") != 0 && strcmp(base, "..") != 0;
    for (size_t i = 0; is_name && !is_out && i < s->options.excluded_count; i++) {
        const char *pattern = s->options.excluded[i];
        bool is_for_base = pattern[0] != '/' && is_absolute;
        is_out = glob_excludes(pattern, is_for_base ? base : plain, is_directory);
    }
    buf_free(&name);
    return result != 0 ? -1 : is_out;
}

static enum sources_step enter_tree(struct sources *s, const char *path, struct err *e)
{
    const struct tree_options options = {.skipped = s->options.skipped,
                                         .takes = s->options.excluded_count > 0 ? takes_path : NULL,
                                         .owner = s,
                                         .is_listed = s->follow.kind == FOLLOW_LISTED};

    s->tree = tree_open(path, &options, e);
    if (s->tree != NULL && s->options.on_tree != NULL)
        s->options.on_tree(s->options.owner, path);
    return s->tree == NULL ? SOURCES_BAD : SOURCES_WAIT;
}

/* Looks at s->path, which was named as `text`. SOURCES_WAIT: a tree, now open, or nothing that is
 * wanted. */
static enum sources_step look_at_source(struct sources *s, const char *text, int64_t *size,
                                        struct err *e)
{
    const char *path = buf_path(&s->path, e), *kind;
    struct stat st;

    if (path == NULL || stat_source(&s->follow, path, &st, e) != 0)
        return SOURCES_BAD;
    int is_out = is_left_out(s, text, S_ISDIR(st.st_mode), e);
    if (is_out != 0)
        return is_out < 0 ? SOURCES_BAD : SOURCES_WAIT;
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

static enum sources_step take_source_path(struct sources *s, const char *text,
                                          enum follow_kind kind, int64_t *size, struct err *e)
{
    s->follow = (struct follow){.kind = kind};
    buf_clear(&s->path);
    if (fs_absolute_path(text, &s->path, e) != 0) {
        buf_clear(&s->path);
        buf_puts(&s->path, text);
        return SOURCES_BAD;
    }
    return look_at_source(s, text, size, e);
}

/* Adds the most likely fault of an entry of the list that names nothing. */
static void explain_entry(struct str text, struct err *e)
{
    char odd[ODDITY_SIZE];

    if (oddity_find(text, ODDITY_TILDE, odd))
        err_wrap(e, "the entry %s", odd);
}

/* The next path of the list. SOURCES_WAIT: none yet, or a tree was opened. */
static enum sources_step next_of_list(struct sources *s, int64_t *size, bool *is_blocked,
                                      struct err *e)
{
    char text[LIST_MAX_PATH + 1];
    struct str entry = {0};

    switch (text_lines_next(&s->list, &entry, e)) {
    case TEXT_LINES_END:
        return SOURCES_END;
    case TEXT_LINES_WAIT:
        *is_blocked = true;
        return SOURCES_WAIT;
    case TEXT_LINES_BAD:
        buf_clear(&s->path);
        buf_put(&s->path, entry.len == 0 ? str_of(s->options.list) : entry);
        buf_puts(&s->path, entry.len == 0 ? "" : "...");
        return SOURCES_BAD;
    case TEXT_LINES_ENTRY:
        break;
    }
    memcpy(text, entry.p, entry.len);
    text[entry.len] = '\0';
    enum sources_step step = take_source_path(s, text, FOLLOW_LISTED, size, e);
    if (step == SOURCES_BAD && !s->options.is_nul_separated)
        explain_entry(str_of(text), e);
    return step;
}

static enum sources_step next_of_tree(struct sources *s, const char **path, int64_t *size,
                                      struct err *e)
{
    enum tree_step step = tree_next(s->tree, path, size, e);
    if (buf_check(&s->whole, e) != 0) { /* it cannot be told what is excluded */
        buf_clear(&s->whole);
        return SOURCES_BAD;
    }
    switch (step) {
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
            step = take_source_path(s, s->options.paths[s->next_path++], FOLLOW_ALL, size, e);
        else
            step = next_of_list(s, size, &is_blocked, e);
    }
    *path = buf_cstr(&s->path);
    return step;
}
