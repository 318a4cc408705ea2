#include "hub/roster.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

enum { MAX_READS = 100000 }; /* while it is being written: the writer needs microseconds */

struct roster_entry {
    uint32_t hash; /* of the name */
    uint16_t name_len, zone_len;
    int64_t since_ms;
    char name[ROSTER_MAX_NAME_BYTES], zone[ROSTER_MAX_NAME_BYTES];
};

/* `version` is odd while something changes. A text that changed while it was read, or was odd, is
 * read again; until then nothing in it is believed but that it lies within the memory. */
struct roster {
    uint32_t version;
    size_t capacity, count;
    struct roster_entry entries[];
};

static size_t roster_size(size_t capacity)
{
    return sizeof(struct roster) + capacity * sizeof(struct roster_entry);
}

struct roster *roster_new(size_t capacity, struct err *e)
{
    struct roster *roster = mmap(NULL, roster_size(capacity), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (roster == MAP_FAILED) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    roster->capacity = capacity;
    return roster;
}

void roster_free(struct roster *roster)
{
    if (roster != NULL)
        munmap(roster, roster_size(roster->capacity));
}

/* FNV-1a. */
static uint32_t hash_of_name(struct str name)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    return h;
}

/* The entry's index, or `count`. */
static size_t entry_index(const struct roster *roster, size_t count, struct str name)
{
    uint32_t hash = hash_of_name(name);
    size_t i = 0;

    for (; i < count; i++) {
        const struct roster_entry *entry = &roster->entries[i];
        if (entry->hash == hash && entry->name_len == name.len &&
            memcmp(entry->name, name.p, name.len) == 0)
            break;
    }
    return i;
}

static void begin_roster_change(struct roster *roster)
{
    __atomic_store_n(&roster->version, roster->version + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_roster_change(struct roster *roster)
{
    __atomic_store_n(&roster->version, roster->version + 1, __ATOMIC_RELEASE);
}

void roster_put(struct roster *roster, struct str name, struct str zone, int64_t wall_ms)
{
    size_t i;
    struct roster_entry *entry;

    if (name.len > ROSTER_MAX_NAME_BYTES || zone.len > ROSTER_MAX_NAME_BYTES) {
        roster_remove(roster, name);
        return;
    }
    i = entry_index(roster, roster->count, name);
    if (i == roster->capacity)
        return;
    begin_roster_change(roster);
    entry = &roster->entries[i];
    entry->hash = hash_of_name(name);
    entry->name_len = (uint16_t)name.len;
    entry->zone_len = (uint16_t)zone.len;
    entry->since_ms = wall_ms;
    memcpy(entry->name, name.p, name.len);
    memcpy(entry->zone, zone.p, zone.len);
    if (i == roster->count)
        roster->count++;
    end_roster_change(roster);
}

void roster_remove(struct roster *roster, struct str name)
{
    size_t i = entry_index(roster, roster->count, name);

    if (i == roster->count)
        return;
    begin_roster_change(roster);
    roster->count--;
    roster->entries[i] = roster->entries[roster->count];
    end_roster_change(roster);
}

static bool read_entry(const struct roster *roster, struct str name, struct str zone, bool is_own,
                       int64_t *since_ms)
{
    size_t count = roster->count < roster->capacity ? roster->count : roster->capacity;
    size_t i = entry_index(roster, count, name);
    const struct roster_entry *entry = &roster->entries[i];

    if (i == count)
        return false;
    *since_ms = entry->since_ms;
    if (entry->zone_len == 0)
        return is_own;
    return entry->zone_len == zone.len && memcmp(entry->zone, zone.p, zone.len) == 0;
}

bool roster_find(const struct roster *roster, struct str name, struct str zone, bool is_own,
                 int64_t *since_ms)
{
    if (name.len > ROSTER_MAX_NAME_BYTES || zone.len > ROSTER_MAX_NAME_BYTES)
        return false;
    for (int reads = 0; reads < MAX_READS; reads++) {
        uint32_t version = __atomic_load_n(&roster->version, __ATOMIC_ACQUIRE);
        bool is_found = version % 2 == 0 && read_entry(roster, name, zone, is_own, since_ms);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (version % 2 == 0 && __atomic_load_n(&roster->version, __ATOMIC_RELAXED) == version)
            return is_found;
        sched_yield();
    }
    return false;
}
