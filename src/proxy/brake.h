/*
 * When a guess that was wrong is answered: the first ones of an address at once, then one after
 * another at a steady pace, however many it makes at the same time. Right secrets never come here.
 */
#ifndef PROXY_BRAKE_H
#define PROXY_BRAKE_H

#include <stdint.h>

#include "base/str.h"

enum {
    BRAKE_FREE = 3,         /* guesses answered at once */
    BRAKE_MAX_MS = 60000,   /* after which each is answered */
    BRAKE_SETS = 1024,
    BRAKE_SET_SIZE = 4      /* addresses that share a set: the least busy one is forgotten */
};

struct brake_entry {
    uint64_t key;
    int64_t busy_until_ms;
};

/* All zeros at the start, but for the seed, which is random. */
struct brake {
    uint64_t seed; /* so that nobody can aim at one set */
    struct brake_entry entries[BRAKE_SETS][BRAKE_SET_SIZE];
};

/* Returns a number for an address (or any text), never 0, which nobody outside can aim at. */
uint64_t brake_key(const struct brake *b, struct str who);

/* Counts a wrong guess of an address. Returns after how many milliseconds it is answered;
 * `every_ms` is the pace. */
int64_t brake_wrong(struct brake *b, struct str who, int64_t every_ms, int64_t now_ms);

#endif
