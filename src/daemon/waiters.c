#include "daemon/waiters.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { FIRST_CAP = 64 };

void waiters_deinit(struct waiters *w)
{
    free(w->heap);
    *w = (struct waiters){0};
}

static void put_waiter_at(struct waiters *w, size_t index, struct waiter *waiter)
{
    w->heap[index] = waiter;
    waiter->heap_index = index;
}

static void sift_waiter_up(struct waiters *w, size_t index)
{
    struct waiter *waiter = w->heap[index];

    while (index > 1 && w->heap[index / 2]->deadline_ms > waiter->deadline_ms) {
        put_waiter_at(w, index, w->heap[index / 2]);
        index /= 2;
    }
    put_waiter_at(w, index, waiter);
}

static void sift_waiter_down(struct waiters *w, size_t index)
{
    struct waiter *waiter = w->heap[index];

    for (size_t child = 2 * index; child <= w->heap_len; child = 2 * index) {
        if (child < w->heap_len && w->heap[child + 1]->deadline_ms < w->heap[child]->deadline_ms)
            child++;
        if (w->heap[child]->deadline_ms >= waiter->deadline_ms)
            break;
        put_waiter_at(w, index, w->heap[child]);
        index = child;
    }
    put_waiter_at(w, index, waiter);
}

static bool reserve_heap(struct waiters *w)
{
    size_t cap = w->heap_cap == 0 ? FIRST_CAP : w->heap_cap * 2;

    if (w->heap_len + 1 < w->heap_cap)
        return true;
    struct waiter **heap = realloc(w->heap, cap * sizeof(struct waiter *));
    if (heap == NULL)
        return false;
    w->heap = heap;
    w->heap_cap = cap;
    return true;
}

static void copy_waiter_text(char *to, struct str text)
{
    if (text.len > 0)
        memcpy(to, text.p, text.len);
}

bool waiters_add(struct waiters *w, struct waiter_list *list, const struct waiter_request *request)
{
    if (!reserve_heap(w))
        return false;
    struct waiter *waiter = malloc(sizeof *waiter + request->id.len + request->asker.len);
    if (waiter == NULL)
        return false;
    *waiter = (struct waiter){.previous = list->last,
                              .list = list,
                              .deadline_ms = request->deadline_ms,
                              .asked_ms = request->asked_ms,
                              .id_len = request->id.len,
                              .asker_len = request->asker.len};
    copy_waiter_text(waiter->id, request->id);
    copy_waiter_text(waiter->id + request->id.len, request->asker);
    *(list->last == NULL ? &list->first : &list->last->next) = waiter;
    list->last = waiter;
    w->heap[++w->heap_len] = waiter;
    sift_waiter_up(w, w->heap_len);
    w->count++;
    return true;
}

struct str waiter_asker(const struct waiter *waiter)
{
    return (struct str){waiter->id + waiter->id_len, waiter->asker_len};
}

static void leave_heap(struct waiters *w, struct waiter *waiter)
{
    size_t index = waiter->heap_index;
    struct waiter *last = w->heap[w->heap_len--];

    waiter->heap_index = 0;
    if (last == waiter)
        return;
    put_waiter_at(w, index, last);
    sift_waiter_up(w, index);
    sift_waiter_down(w, last->heap_index);
}

void waiters_remove(struct waiters *w, struct waiter *waiter)
{
    struct waiter_list *list = waiter->list;

    if (waiter->heap_index != 0)
        leave_heap(w, waiter);
    *(waiter->previous == NULL ? &list->first : &waiter->previous->next) = waiter->next;
    *(waiter->next == NULL ? &list->last : &waiter->next->previous) = waiter->previous;
    free(waiter);
    w->count--;
}

struct waiter *waiters_take_due(struct waiters *w, int64_t now_ms)
{
    if (w->heap_len == 0 || w->heap[1]->deadline_ms > now_ms)
        return NULL;
    struct waiter *waiter = w->heap[1];
    leave_heap(w, waiter);
    return waiter;
}

int64_t waiters_next_ms(const struct waiters *w)
{
    return w->heap_len == 0 ? CLOCK_NEVER_MS : w->heap[1]->deadline_ms;
}
