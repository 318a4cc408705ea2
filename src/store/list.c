/* Walking the store: what is named like an object, in a place that fits its name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/leftover.h"
#include "base/quote.h"
#include "store/store.h"
#include "store/tree.h"

struct store_list {
    const struct store *store;
    enum store_kind kind;
    struct tree *tree; /* NULL: this kind's tree is not there */
    bool is_tidying;
    size_t root_len;
};

/* Begins with the objects of list->kind. */
static int open_tree(struct store_list *list, struct err *e)
{
    const char *root = list->kind == STORE_COPY ? "sha1" : "linked_files/sha1";
    struct buf path = {0};
    struct stat st;
    int status = 0;

    buf_printf(&path, "%s/%s/", list->store->dir, root);
    list->root_len = path.len;
    const char *name = buf_cstr(&path);
    if (buf_check(&path, e) != 0) {
        status = -1;
    } else if (stat(name, &st) == 0) {
        list->tree = tree_open(name, NULL, e);
        status = list->tree == NULL ? -1 : 0;
    } else if (errno != ENOENT) {
        status = err_errno(e, ERR_FAILED, errno, "cannot read %s", name);
    }
    buf_free(&path);
    return status;
}

struct store_list *store_list_open(const struct store *s, struct err *e)
{
    struct store_list *list = calloc(1, sizeof *list);

    if (list == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    list->store = s;
    list->kind = STORE_COPY;
    if (open_tree(list, e) == 0)
        return list;
    free(list);
    return NULL;
}

void store_list_close(struct store_list *list)
{
    if (list == NULL)
        return;
    tree_close(list->tree);
    free(list);
}

/* True for "ab/cd/ef/<hash>" with the hash's own first digits; the hash is then copied. */
static bool is_object(const char *path, char hash[SHA1_HEX + 1])
{
    struct str rest = str_of(path);
    struct str name = str_slice(rest, 9, rest.len);

    if (!hex_is_lower(name, SHA1_HEX) || path[2] != '/' || path[5] != '/' || path[8] != '/' ||
        memcmp(path, name.p, 2) != 0 || memcmp(path + 3, name.p + 2, 2) != 0 ||
        memcmp(path + 6, name.p + 4, 2) != 0)
        return false;
    memcpy(hash, name.p, SHA1_HEX + 1);
    return true;
}

void store_list_tidy(struct store_list *list)
{
    struct buf path = {0};

    list->is_tidying = true;
    store_tidy(list->store);
    buf_printf(&path, "%s/mutables/@compute_sha1_cache/", list->store->dir);
    leftover_clean(buf_cstr(&path));
    buf_free(&path);
}

/* A file that is no object: <hash>.tmp.XXXXXXXX or <hash>.part is what was to become one. */
static void tidy_one(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str name = str_of(slash == NULL ? path : slash + 1);
    struct str rest = str_slice(name, SHA1_HEX, name.len);

    if (!hex_is_lower(str_slice(name, 0, SHA1_HEX), SHA1_HEX))
        return;
    if (str_starts_with(rest, STR(".tmp.")))
        leftover_remove(path, LEFTOVER_SECONDS);
    else if (str_equal(rest, STR(".part")))
        leftover_remove(path, LEFTOVER_RESUMED_SECONDS);
}

/* 1 and the next hash of this tree, 0 at its end, -1 for what cannot be read. */
static int next_object(struct store_list *list, char hash[SHA1_HEX + 1], struct err *e)
{
    char quoted[QUOTE_SIZE];
    const char *path;
    int64_t size;

    while (list->tree != NULL) {
        enum tree_step step = tree_next(list->tree, &path, &size, e);
        if (step == TREE_END)
            break;
        bool is_named = is_object(path + list->root_len, hash);
        if (step == TREE_BAD)
            return err_wrap(e, "%s", quote_str(quoted, str_of(path)));
        if (is_named)
            return 1;
        if (list->is_tidying)
            tidy_one(path);
    }
    tree_close(list->tree);
    list->tree = NULL;
    return 0;
}

int store_list_next(struct store_list *list, char hash[SHA1_HEX + 1], struct store_entry *out,
                    struct err *e)
{
    for (;;) {
        int status = next_object(list, hash, e);
        if (status < 0)
            return -1;
        if (status > 0) {
            if (store_lookup_kind(list->store, hash, list->kind, out, e) != 0)
                return -1;
            /* Absent: removed meanwhile, or a record that somebody is writing. */
            if (out->state != STORE_ABSENT)
                return 1;
            store_entry_deinit(out);
        } else if (list->kind == STORE_LINK) {
            return 0;
        } else {
            list->kind = STORE_LINK;
            if (open_tree(list, e) != 0)
                return -1;
        }
    }
}
