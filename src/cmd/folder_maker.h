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

/* Begins the next tree (absolute path, copied): number `count` from now on. */
void folder_maker_begin(struct folder_maker *maker, const char *root);

/* A file of that tree was added. Does nothing for tree 0. */
void folder_maker_add(struct folder_maker *maker, size_t tree, const char *path, const char *hash,
                      int64_t size);

/* A file of that tree failed. Does nothing for tree 0. */
void folder_maker_fail(struct folder_maker *maker, size_t tree);

/* Stores the indexes and lists them, each with its tree's path; those that cannot be are reported.
 */
void folder_maker_end(struct folder_maker *maker, const struct store *store, bool makes_manifests,
                      struct uri_list *list);

void folder_maker_free(struct folder_maker *maker);

#endif
