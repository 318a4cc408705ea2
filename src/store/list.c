/* Walking the store: what is named like an object, in a place that fits its name. Others write
 * there meanwhile: nothing else is looked at, and what is gone when its turn comes is left out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cause.h"
#include "base/hex.h"
#include "base/newfile.h"
#include "base/quote.h"
#include "store/store.h"
#include "store/tree.h"

struct store_list {
    const struct store *store;
    enum store_kind kind;
    struct tree *tree; /* NULL: this kind's tree is not there */
    bool is_tidying;
    struct buf root; /* of that tree, with its slash */
    char hash[SHA1_HEX + 1];     /* of the object that it is at, and the rest of its entries: */
    struct store_entry *entries;
    size_t count, next;
};

/* True for "ab", "ab/cd" and "ab/cd/ef". */
static bool is_branch(struct str path)
{
    bool is_pair = hex_is_lower(str_slice(path, 0, 2), 2);

    if (path.len > 2)
        return is_pair && path.p[2] == '/' && path.len <= 8 &&
               is_branch(str_slice(path, 3, path.len));
    return is_pair;
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

/* A file that is no object: <hash>.tmp.XXXXXXXX, <hash>.paths.tmp.XXXXXXXX or <hash>.part is what
 * was to become one. */
static void tidy_one(struct store_list *list, const char *below)
{
    const char *slash = strrchr(below, '/');
    struct str name = str_of(slash == NULL ? below : slash + 1);
    struct str rest = str_slice(name, SHA1_HEX, name.len);
    const size_t root_len = list->root.len;

    if (!hex_is_lower(str_slice(name, 0, SHA1_HEX), SHA1_HEX))
        return;
    buf_puts(&list->root, below);
    const char *path = buf_path(&list->root, ERR_IGNORED);
    if (str_starts_with(rest, STR(".tmp.")) || str_starts_with(rest, STR(".paths.tmp.")))
        newfile_remove_left(path, NEWFILE_LEFT_SECONDS);
    else if (str_equal(rest, STR(".part")))
        newfile_remove_left(path, NEWFILE_PART_SECONDS);
    list->root.failed = false;
    list->root.len = root_len;
}

/* tree_options.takes */
static bool takes_store_path(void *owner, const char *path, bool is_directory)
{
    struct store_list *list = owner;
    char hash[SHA1_HEX + 1];

    if (is_directory)
        return is_branch(str_of(path));
    if (is_object(path, hash))
        return true;
    if (list->is_tidying)
        tidy_one(list, path);
    return false;
}

static int fail_to_read(const char *name, int number, struct err *e)
{
    err_errno(e, ERR_FAILED, number, "cannot read %s", name);
    if (number == EACCES)
        cause_explain(name, e);
    return -1;
}

/* Begins with the objects of list->kind. */
static int open_tree(struct store_list *list, struct err *e)
{
    const char *root = list->kind == STORE_COPY ? "sha1" : "linked_files/sha1";
    const struct tree_options options = {
        .takes = takes_store_path, .owner = list, .is_names_only = true, .is_lenient = true};
    struct stat st;

    buf_clear(&list->root);
    buf_printf(&list->root, "%s/%s/", list->store->dir, root);
    const char *name = buf_path(&list->root, e);
    if (name == NULL)
        return -1;
    if (stat(name, &st) != 0)
        return errno == ENOENT ? 0 : fail_to_read(name, errno, e);
    list->tree = tree_open(name, &options, e);
    return list->tree == NULL ? -1 : 0;
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
    store_list_close(list);
    return NULL;
}

static void drop_entries(struct store_list *list)
{
    while (list->next < list->count)
        store_entry_deinit(&list->entries[list->next++]);
    free(list->entries);
    list->entries = NULL;
    list->count = list->next = 0;
}

void store_list_close(struct store_list *list)
{
    if (list == NULL)
        return;
    tree_close(list->tree);
    drop_entries(list);
    buf_free(&list->root);
    free(list);
}

void store_list_tidy(struct store_list *list)
{
    struct buf path = {0};

    list->is_tidying = true;
    store_tidy(list->store);
    buf_printf(&path, "%s/mutables/@compute_sha1_cache/", list->store->dir);
    newfile_clean(buf_path(&path, ERR_IGNORED));
    buf_free(&path);
}

/* 1 and the next hash of this tree, 0 at its end, -1 for what cannot be read. */
static int next_object(struct store_list *list, char hash[SHA1_HEX + 1], struct err *e)
{
    char quoted[QUOTE_SIZE];
    const char *path;
    int64_t size;

    while (list->tree != NULL) {
        enum tree_step step = tree_next(list->tree, &path, &size, e);
        if (step == TREE_BAD) {
            cause_explain(path, e);
            return err_wrap(e, "%s", quote_str(quoted, str_of(path)));
        }
        if (step == TREE_END)
            break;
        if (is_object(path + list->root.len, hash))
            return 1;
    }
    tree_close(list->tree);
    list->tree = NULL;
    return 0;
}

/* The next of the paths of the link that the list is at. */
static bool next_path(struct store_list *list, char hash[SHA1_HEX + 1], struct store_entry *out)
{
    if (list->next == list->count)
        return false;
    memcpy(hash, list->hash, sizeof list->hash);
    *out = list->entries[list->next];
    list->entries[list->next++] = (struct store_entry){0};
    return true;
}

/* Takes the entries of the object that the list has come to. */
static int look_up_object(struct store_list *list, const char *hash, struct err *e)
{
    drop_entries(list);
    memcpy(list->hash, hash, sizeof list->hash);
    if (list->kind == STORE_LINK)
        return store_lookup_paths(list->store, hash, &list->entries, &list->count, e);
    list->entries = calloc(1, sizeof *list->entries);
    if (list->entries == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (store_lookup_kind(list->store, hash, list->kind, list->entries, e) != 0)
        return -1;
    /* Absent: removed meanwhile. */
    list->count = list->entries->state != STORE_ABSENT;
    return 0;
}

static bool is_file_absent(const struct store *s, const char *hash,
                           void (*put_path)(const struct store *s, const char *hash,
                                            struct buf *out))
{
    struct buf path = {0};
    struct stat st;

    put_path(s, hash, &path);
    const char *name = buf_path(&path, ERR_IGNORED);
    bool is_absent = name != NULL && lstat(name, &st) != 0 && errno == ENOENT;
    buf_free(&path);
    return is_absent;
}

/* Removes the old manifests of what is neither copied nor linked: another program removed that, or
 * a killed process did not get to it. Best effort. */
static void tidy_manifests(struct store_list *list)
{
    const struct tree_options options = {
        .takes = takes_store_path, .owner = list, .is_names_only = true, .is_lenient = true};
    char hash[SHA1_HEX + 1];
    const char *path;
    enum tree_step step = TREE_END;
    int64_t size;

    buf_clear(&list->root);
    buf_printf(&list->root, "%s/manifests/sha1/", list->store->dir);
    const char *name = buf_path(&list->root, ERR_IGNORED);
    list->tree = name == NULL ? NULL : tree_open(name, &options, ERR_IGNORED);
    while (list->tree != NULL &&
           (step = tree_next(list->tree, &path, &size, ERR_IGNORED)) != TREE_END)
        if (step == TREE_FILE && is_object(path + list->root.len, hash) &&
            is_file_absent(list->store, hash, store_put_copy_path) &&
            is_file_absent(list->store, hash, store_put_link_path))
            newfile_remove_left(path, NEWFILE_LEFT_SECONDS);
    tree_close(list->tree);
    list->tree = NULL;
}

int store_list_next(struct store_list *list, char hash[SHA1_HEX + 1], struct store_entry *out,
                    struct err *e)
{
    char found[SHA1_HEX + 1];

    while (!next_path(list, hash, out)) {
        int status = next_object(list, found, e);
        if (status < 0)
            return -1;
        if (status > 0) {
            if (look_up_object(list, found, e) != 0)
                return -1;
        } else if (list->kind == STORE_LINK) {
            if (list->is_tidying)
                tidy_manifests(list);
            list->is_tidying = false;
            return 0;
        } else {
            list->kind = STORE_LINK;
            if (open_tree(list, e) != 0)
                return -1;
        }
    }
    return 1;
}
