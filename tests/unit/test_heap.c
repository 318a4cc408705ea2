/* The intrusive heap: order, removal from any place, in every order. */
#include <stdlib.h>

#include "base/heap.h"
#include "unit.h"

enum { MANY = 2000 };

static unsigned draw(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    return *state >> 16;
}

static void check_links(const struct heap_node *parent)
{
    const struct heap_node *before = parent;

    for (const struct heap_node *node = parent->child; node != NULL; node = node->next) {
        assert_true(node->previous == before && node->key >= parent->key);
        check_links(node);
        before = node;
    }
}

static void check(const struct heap *heap)
{
    if (heap->first == NULL)
        return;
    assert_true(heap->first->previous == heap->first && heap->first->next == NULL);
    check_links(heap->first);
}

static void the_smallest_comes_first(void **state)
{
    struct heap heap = {0};
    struct heap_node *nodes = calloc(MANY, sizeof *nodes);
    unsigned random = 7;
    int64_t last = INT64_MIN;

    (void)state;
    for (int i = 0; i < MANY; i++)
        heap_add(&heap, &nodes[i], (int64_t)(draw(&random) % 500) - 250);
    for (int i = 0; i < MANY; i++) {
        struct heap_node *first = heap.first;
        assert_true(first != NULL && first->key >= last);
        last = first->key;
        heap_remove(&heap, first);
        assert_false(heap_has(first));
    }
    assert_null(heap.first);
    free(nodes);
}

/* Against an array that is searched: what is added, removed and first is always the same. */
static void any_member_can_be_removed(void **state)
{
    struct heap heap = {0};
    struct heap_node *nodes = calloc(64, sizeof *nodes);
    unsigned random = 11;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[draw(&random) % 64];
        if (heap_has(node))
            heap_remove(&heap, node);
        else
            heap_add(&heap, node, draw(&random) % 32);
        if (step % 100 == 0)
            check(&heap);
        const struct heap_node *smallest = NULL;
        for (int i = 0; i < 64; i++)
            if (heap_has(&nodes[i]) && (smallest == NULL || nodes[i].key < smallest->key))
                smallest = &nodes[i];
        assert_true((heap.first == NULL) == (smallest == NULL));
        assert_true(smallest == NULL || heap.first->key == smallest->key);
    }
    free(nodes);
}

static void removing_what_is_in_none_does_nothing(void **state)
{
    struct heap heap = {0};
    struct heap_node a = {0}, b = {0};

    (void)state;
    heap_remove(&heap, &a);
    heap_add(&heap, &a, 1);
    heap_remove(&heap, &b);
    assert_true(heap.first == &a);
    heap_remove(&heap, &a);
    heap_remove(&heap, &a);
    assert_null(heap.first);
}

/* Children of one parent, in ascending and descending order: as deep and as wide as it gets. */
static void long_chains(void **state)
{
    struct heap heap = {0};
    struct heap_node *nodes = calloc(MANY, sizeof *nodes);

    (void)state;
    for (int up = 0; up < 2; up++) {
        for (int i = 0; i < MANY; i++)
            heap_add(&heap, &nodes[i], up ? i : -i);
        check(&heap);
        for (int i = 0; i < MANY; i += 2)
            heap_remove(&heap, &nodes[i]);
        check(&heap);
        for (int i = 1; i < MANY; i += 2) {
            assert_true(heap.first == &nodes[up ? i : MANY - i]);
            heap_remove(&heap, heap.first);
        }
        assert_null(heap.first);
    }
    free(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_comes_first),
        cmocka_unit_test(any_member_can_be_removed),
        cmocka_unit_test(removing_what_is_in_none_does_nothing),
        cmocka_unit_test(long_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
