/*
 * The folder indexes that `link -r --index` makes: one of each tree that was named, from the files
 * that were added of it, stored as a copy in the local store. A tree with a file that failed gets
 * none.
 */
#ifndef CMD_FOLDER_MAKER_H
#define CMD_FOLDER_MAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/uri_list.h"
#include "store/store.h"

struct folder_tree;

/* All zeros is an empty one. */
struct folder_maker {
    struct folder_tree *trees;
    size_t count;
    bool failed; /* for want of memory */
};

/* Begins the next tree (absolute path, copied), whose number is maker->count from now on. */
void folder_maker_begin(struct folder_maker *maker, const char *root);

/* Adds a file of that tree: its absolute path, SHA-1 and size in bytes. Does nothing for tree 0. */
void folder_maker_add(struct folder_maker *maker, size_t tree, const char *path, const char *hash,
                      int64_t size);

/* Notes that a file of that tree failed: the tree gets no index. Does nothing for tree 0. */
void folder_maker_fail(struct folder_maker *maker, size_t tree);

/* Stores the indexes and lists them, each with its tree's path. An index that cannot be made is
 * reported in the list. */
void folder_maker_end(struct folder_maker *maker, const struct store *store, bool makes_manifests,
                      struct uri_list *list);

void folder_maker_free(struct folder_maker *maker);

#endif
