#include "http/shares.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 8 };

void shares_deinit(struct shares *s)
{
    free(s->slots);
    *s = (struct shares){0};
}

/* Returns where a holder's search starts. Holders are places of a table of ours: strangers cannot
 * choose them. */
static size_t home_of(const struct shares *s, uint64_t holder)
{
    return (size_t)(holder * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (s->slot_count - 1);
}

/* Returns the holder's slot, or the free one where it belongs. There is always a free one. */
static struct share *find_slot(const struct shares *s, uint64_t holder)
{
    size_t i = home_of(s, holder);

    while (s->slots[i].holder != 0 && s->slots[i].holder != holder)
        i = (i + 1) & (s->slot_count - 1);
    return &s->slots[i];
}

static int grow_share_slots(struct shares *s)
{
    struct shares larger = {.slot_count = s->slot_count == 0 ? FIRST_SLOTS : 2 * s->slot_count,
                            .holders = s->holders};

    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return -1;
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->slots[i].holder != 0)
            *find_slot(&larger, s->slots[i].holder) = s->slots[i];
    free(s->slots);
    *s = larger;
    return 0;
}

int shares_enter(struct shares *s, uint64_t holder)
{
    struct share *share;

    if (holder == 0)
        return 0;
    if (2 * (s->holders + 1) > s->slot_count && grow_share_slots(s) != 0)
        return -1;
    share = find_slot(s, holder);
    s->holders += share->holder == 0;
    share->holder = holder;
    share->count++;
    return 0;
}

/* Moves up what was put further on because this slot was taken. */
static void close_slot_gap(struct shares *s, size_t gap)
{
    size_t mask = s->slot_count - 1;

    for (size_t i = (gap + 1) & mask; s->slots[i].holder != 0; i = (i + 1) & mask) {
        if (((i - home_of(s, s->slots[i].holder)) & mask) < ((i - gap) & mask))
            continue;
        s->slots[gap] = s->slots[i];
        gap = i;
    }
    s->slots[gap] = (struct share){0};
}

void shares_leave(struct shares *s, uint64_t holder)
{
    struct share *share = holder == 0 || s->slot_count == 0 ? NULL : find_slot(s, holder);

    if (share == NULL || share->holder == 0 || --share->count > 0)
        return;
    s->holders--;
    close_slot_gap(s, (size_t)(share - s->slots));
    if (s->holders == 0)
        shares_deinit(s);
}

size_t shares_count(const struct shares *s, uint64_t holder)
{
    return holder == 0 || s->slot_count == 0 ? 0 : find_slot(s, holder)->count;
}

uint64_t shares_above_part(const struct shares *s, uint64_t holder, size_t places)
{
    size_t mine = shares_count(s, holder);
    size_t holders = s->holders + (mine == 0);
    size_t part = places / holders;
    const struct share *largest = NULL;

    if (holder == 0 || mine >= (part == 0 ? 1 : part))
        return 0;
    for (size_t i = 0; i < s->slot_count; i++)
        if (s->slots[i].holder != 0 && (largest == NULL || s->slots[i].count > largest->count))
            largest = &s->slots[i];
    return largest != NULL && largest->count > (part == 0 ? 1 : part) ? largest->holder : 0;
}
