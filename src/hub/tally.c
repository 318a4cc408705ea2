#include "hub/tally.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/sha1.h"

enum { SLOTS = 4096, KEY_BYTES = ADDR_V6_BYTES, NETWORK_BYTES = 8, FIRST_ENTRIES = 64 };

/* One address. Entries are named by their index + 1; 0 ends a chain. */
struct tally_entry {
    unsigned char key[KEY_BYTES];
    size_t count;
    uint64_t next; /* in its slot, or of the free ones */
};

struct tally {
    size_t max_each;
    uint64_t seed; /* so that nobody can aim at one slot */
    uint64_t slots[SLOTS];
    struct tally_entry *entries;
    size_t entry_count, used_count;
    uint64_t first_free;
};

struct tally *tally_new(size_t max_each, struct err *e)
{
    struct tally *t = calloc(1, sizeof *t);

    if (t == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    t->max_each = max_each;
    random_bytes(&t->seed, sizeof t->seed);
    return t;
}

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    free(t->entries);
    free(t);
}

static void make_address_key(const struct addr *peer, unsigned char key[KEY_BYTES])
{
    addr_to_v6(peer, key);
    if (!addr_is_mapped(key))
        memset(key + NETWORK_BYTES, 0, KEY_BYTES - NETWORK_BYTES);
}

/* FNV-1a from a secret start. */
static uint64_t *address_slot_of(struct tally *t, const unsigned char key[KEY_BYTES])
{
    uint64_t h = t->seed;

    for (size_t i = 0; i < KEY_BYTES; i++)
        h = (h ^ key[i]) * UINT64_C(1099511628211);
    return &t->slots[(h >> 32) % SLOTS];
}

static int grow_entries(struct tally *t)
{
    size_t count = t->entry_count == 0 ? FIRST_ENTRIES : 2 * t->entry_count;
    struct tally_entry *entries = realloc(t->entries, count * sizeof *entries);

    if (entries == NULL)
        return -1;
    for (size_t i = t->entry_count; i < count; i++)
        entries[i] = (struct tally_entry){.next = i + 1 < count ? i + 2 : 0};
    t->first_free = t->entry_count + 1;
    t->entries = entries;
    t->entry_count = count;
    return 0;
}

static uint64_t add_tally_entry(struct tally *t, const unsigned char key[KEY_BYTES])
{
    uint64_t *slot = address_slot_of(t, key), place;

    if (t->first_free == 0 && grow_entries(t) != 0)
        return 0;
    place = t->first_free;
    struct tally_entry *entry = &t->entries[place - 1];
    t->first_free = entry->next;
    memcpy(entry->key, key, KEY_BYTES);
    entry->count = 1;
    t->used_count++;
    entry->next = *slot;
    *slot = place;
    return place;
}

/* No address begins so: a multicast address connects to nobody (RFC 4291 §2.7). */
static const unsigned char user_prefix[] = {0xff, 'u'};

static bool is_user(const unsigned char key[KEY_BYTES])
{
    return memcmp(key, user_prefix, sizeof user_prefix) == 0;
}

static uint64_t enter_key(struct tally *t, const unsigned char key[KEY_BYTES])
{
    uint64_t place = *address_slot_of(t, key);
    while (place != 0 && memcmp(t->entries[place - 1].key, key, KEY_BYTES) != 0)
        place = t->entries[place - 1].next;
    if (place == 0)
        return t->max_each == 0 ? 0 : add_tally_entry(t, key);
    if (t->entries[place - 1].count >= t->max_each)
        return 0;
    t->entries[place - 1].count++;
    return place;
}

uint64_t tally_enter(struct tally *t, const struct addr *peer)
{
    unsigned char key[KEY_BYTES];

    make_address_key(peer, key);
    return enter_key(t, key);
}

uint64_t tally_enter_user(struct tally *t, struct str user)
{
    unsigned char digest[SHA1_SIZE], key[KEY_BYTES];
    struct sha1 sha1;

    sha1_init(&sha1);
    sha1_update(&sha1, user.p, user.len);
    sha1_final(&sha1, digest);
    memcpy(key, digest, KEY_BYTES);
    memcpy(key, user_prefix, sizeof user_prefix);
    return enter_key(t, key);
}

void tally_leave(struct tally *t, uint64_t place)
{
    struct tally_entry *entry = place == 0 ? NULL : &t->entries[place - 1];
    uint64_t *link;

    if (entry == NULL || --entry->count > 0)
        return;
    link = address_slot_of(t, entry->key);
    while (*link != place)
        link = &t->entries[*link - 1].next;
    *link = entry->next;
    t->used_count--;
    entry->next = t->first_free;
    t->first_free = place;
}

size_t tally_count(const struct tally *t, uint64_t place)
{
    return place == 0 ? 0 : t->entries[place - 1].count;
}

size_t tally_holders(const struct tally *t)
{
    return t->used_count;
}

uint64_t tally_largest(const struct tally *t)
{
    uint64_t largest = 0;

    for (uint64_t place = 1; place <= t->entry_count; place++)
        if (t->entries[place - 1].count > tally_count(t, largest))
            largest = place;
    return largest;
}

void tally_put_address(const struct tally *t, uint64_t place, struct buf *out)
{
    const unsigned char *key = t->entries[place - 1].key;
    bool is_v4 = addr_is_mapped(key);
    char text[INET6_ADDRSTRLEN] = "?";

    if (is_user(key)) {
        buf_puts(out, "a user");
        return;
    }
    inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? key + ADDR_MAPPED_BYTES : key, text, sizeof text);
    buf_printf(out, is_v4 ? "%s" : "%s/64", text);
}
