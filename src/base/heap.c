#include "base/heap.h"

#include <stddef.h>

/* Makes one tree of two; each root's `next` is ignored. Of equal keys `a` stays above. */
static struct heap_node *meld_trees(struct heap_node *a, struct heap_node *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (b->key < a->key) {
        struct heap_node *smaller = b;
        b = a;
        a = smaller;
    }
    b->next = a->child;
    if (b->next != NULL)
        b->next->previous = b;
    b->previous = a;
    a->child = b;
    return a;
}

static void set_first_node(struct heap *heap, struct heap_node *node)
{
    heap->first = node;
    if (node == NULL)
        return;
    node->previous = node;
    node->next = NULL;
}

void heap_add(struct heap *heap, struct heap_node *node, int64_t key)
{
    *node = (struct heap_node){.key = key};
    set_first_node(heap, meld_trees(heap->first, node));
}

/* Melds the trees of a list: in pairs from the left, then the pairs from the right. */
static struct heap_node *meld_list(struct heap_node *list)
{
    struct heap_node *pairs = NULL, *all = NULL;

    while (list != NULL) {
        struct heap_node *a = list, *b = a->next;
        list = b == NULL ? NULL : b->next;
        struct heap_node *pair = meld_trees(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        struct heap_node *next = pairs->next;
        all = meld_trees(all, pairs);
        pairs = next;
    }
    return all;
}

static void cut_node(struct heap_node *node)
{
    if (node->previous->child == node)
        node->previous->child = node->next;
    else
        node->previous->next = node->next;
    if (node->next != NULL)
        node->next->previous = node->previous;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (!heap_has(node))
        return;
    struct heap_node *children = meld_list(node->child);
    if (heap->first == node) {
        set_first_node(heap, children);
    } else {
        cut_node(node);
        set_first_node(heap, meld_trees(heap->first, children));
    }
    *node = (struct heap_node){0};
}

bool heap_has(const struct heap_node *node)
{
    return node->previous != NULL;
}
