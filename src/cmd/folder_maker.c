#include "cmd/folder_maker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/newfile.h"
#include "base/quote.h"
#include "cmd/label.h"
#include "proto/folder_index.h"
#include "proto/kachery_uri.h"
#include "store/add.h"

struct folder_tree {
    char *root;
    struct folder_index index;
    struct err why; /* there is no index of it; ERR_NONE: there is */
};

void folder_maker_begin(struct folder_maker *maker, const char *root)
{
    struct folder_tree *trees = realloc(maker->trees, (maker->count + 1) * sizeof *trees);
    char *copy = strdup(root);

    if (trees != NULL)
        maker->trees = trees;
    if (trees == NULL || copy == NULL) {
        maker->failed = true;
        free(copy);
        return;
    }
    maker->trees[maker->count++] = (struct folder_tree){.root = copy};
}

static struct folder_tree *find_tree(struct folder_maker *maker, size_t tree)
{
    return tree == 0 || tree > maker->count || maker->failed ? NULL : &maker->trees[tree - 1];
}

static void give_up_tree(struct folder_tree *tree)
{
    folder_index_free(&tree->index);
}

void folder_maker_fail(struct folder_maker *maker, size_t number)
{
    struct folder_tree *tree = find_tree(maker, number);

    if (tree == NULL || tree->why.code != ERR_NONE)
        return;
    err_set(&tree->why, ERR_FAILED, "no index of it is made: a file in it failed");
    give_up_tree(tree);
}

void folder_maker_add(struct folder_maker *maker, size_t number, const char *path,
                      const char *hash, int64_t size)
{
    struct folder_tree *tree = find_tree(maker, number);
    char quoted[QUOTE_SIZE];

    if (tree == NULL || tree->why.code != ERR_NONE)
        return;
    size_t root = strlen(tree->root);
    const char *below = path + (strncmp(path, tree->root, root) == 0 ? root : 0);
    below += strspn(below, "/");
    if (folder_index_add(&tree->index, str_of(below), hash, size, &tree->why) == 0)
        return;
    err_wrap(&tree->why, "no index of it is made: \"%s\"", quote_str(quoted, str_of(below)));
    give_up_tree(tree);
}

/* Writes the text into the store's place for what is not complete. */
static int write_text(const struct store *store, struct str text, struct newfile *f, struct err *e)
{
    struct buf beside = {0};

    store_put_staging_path(store, STORE_COPY, &beside);
    const char *path = buf_path(&beside, e);
    int result = path == NULL ? -1 : store_open_temporary(store, path, f, e);
    buf_free(&beside);
    if (result != 0)
        return -1;
    newfile_hold(f->fd);
    return newfile_write(f, text, f->name.data, e);
}

static int store_text(const struct store *store, struct str text, bool makes_manifests,
                      struct add_staged *added, struct err *e)
{
    const struct hash_options options = {.flags = makes_manifests ? HASH_MAKE_MANIFEST : 0};
    struct newfile f = NEWFILE_NONE;
    int result = write_text(store, text, &f, e);

    if (result == 0)
        result = add_file(store, STORE_COPY, f.name.data, &options, added, e);
    newfile_discard(&f);
    return result;
}

static int end_tree(struct folder_tree *tree, const struct store *store, bool makes_manifests,
                    struct uri_list *list, struct err *e)
{
    struct buf text = {0}, label = {0}, uri = {0};
    struct add_staged added;
    int result = -1;

    if ((tree->why.code != ERR_NONE && err_copy(e, &tree->why) != 0) ||
        folder_index_put(&tree->index, &text, e) != 0)
        goto out;
    label_put_base_name(&label, tree->root);
    buf_putc(&label, '/');
    if (buf_check(&label, e) != 0 ||
        store_text(store, buf_str(&text), makes_manifests, &added, e) != 0)
        goto out;
    kachery_uri_put(&uri, added.hash, buf_str(&label));
    const char *address = buf_path(&uri, e);
    if (address == NULL)
        goto out;
    uri_list_add(list, tree->root, address, added.size);
    result = 0;
out:
    buf_free(&text);
    buf_free(&label);
    buf_free(&uri);
    return result;
}

void folder_maker_end(struct folder_maker *maker, const struct store *store, bool makes_manifests,
                      struct uri_list *list)
{
    struct err e;

    for (size_t i = 0; i < maker->count; i++) {
        struct folder_tree *tree = &maker->trees[i];
        if (maker->failed)
            err_set(&tree->why, ERR_FAILED, "no index of it is made: out of memory");
        if (end_tree(tree, store, makes_manifests, list, &e) != 0)
            uri_list_fail(list, tree->root, &e);
        folder_index_free(&tree->index);
    }
    if (maker->failed && maker->count == 0) {
        err_set(&e, ERR_FAILED, "no index is made: out of memory");
        uri_list_fail(list, "?", &e);
    }
}

void folder_maker_free(struct folder_maker *maker)
{
    for (size_t i = 0; i < maker->count; i++) {
        free(maker->trees[i].root);
        folder_index_free(&maker->trees[i].index);
    }
    free(maker->trees);
    *maker = (struct folder_maker){0};
}
