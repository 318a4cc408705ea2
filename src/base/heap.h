/*
 * A priority queue whose memory is its members': an intrusive pairing heap (Fredman, Sedgewick,
 * Sleator and Tarjan 1986), the smallest key first. No operation can fail.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded in a member, which must not move while it is in a heap. All zeros: in no heap. */
struct heap_node {
    int64_t key;
    struct heap_node *child, *next;
    struct heap_node *previous; /* sibling before, else parent; of the first, itself; NULL: none */
};

/* All zeros: empty. */
struct heap {
    struct heap_node *first;
};

/* Adds a node that is in no heap, in constant time. */
void heap_add(struct heap *heap, struct heap_node *node, int64_t key);

/* Takes a node out, in amortized O(log n). Does nothing when it is in no heap. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* Returns true when the node is in a heap. */
bool heap_has(const struct heap_node *node);

#endif
