#include "proxy/brake.h"

/* FNV-1a from a secret start; 0 is no key. */
uint64_t brake_key(const struct brake *b, struct str who)
{
    uint64_t h = b->seed;

    for (size_t i = 0; i < who.len; i++)
        h = (h ^ (unsigned char)who.p[i]) * UINT64_C(1099511628211);
    return h == 0 ? 1 : h;
}

/* Its entry, or the one of the least busy other. */
static struct brake_entry *find_brake_entry(struct brake *b, uint64_t key)
{
    struct brake_entry *set = b->entries[(key >> 32) % BRAKE_SETS], *best = set;

    for (int i = 0; i < BRAKE_SET_SIZE; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].busy_until_ms < best->busy_until_ms)
            best = &set[i];
    }
    *best = (struct brake_entry){.key = key};
    return best;
}

int64_t brake_wrong(struct brake *b, struct str who, int64_t every_ms, int64_t now_ms)
{
    struct brake_entry *entry = find_brake_entry(b, brake_key(b, who));
    int64_t busy_ms = entry->busy_until_ms > now_ms ? entry->busy_until_ms - now_ms : 0;
    int64_t wait_ms = busy_ms - (BRAKE_FREE - 1) * every_ms;

    if (wait_ms < BRAKE_MAX_MS)
        entry->busy_until_ms = now_ms + busy_ms + every_ms;
    return wait_ms < 0 ? 0 : wait_ms < BRAKE_MAX_MS ? wait_ms : BRAKE_MAX_MS;
}
