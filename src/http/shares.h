/*
 * How many places of something limited each of its holders has, so that one cannot have them all.
 * A holder is any number but 0. It knows nothing of what the places are.
 */
#ifndef HTTP_SHARES_H
#define HTTP_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share {
    uint64_t holder; /* 0: free */
    size_t count;
};

/* All zeros at the start. */
struct shares {
    struct share *slots;
    size_t slot_count; /* a power of two, or 0 */
    size_t holders;
};

/* Frees the memory. */
void shares_deinit(struct shares *s);

/* Counts one place more for a holder; -1 without memory. Holder 0 is not counted. */
int shares_enter(struct shares *s, uint64_t holder);

/* Counts one place less for a holder that has some. */
void shares_leave(struct shares *s, uint64_t holder);

/* Returns the number of places that the holder has. */
size_t shares_count(const struct shares *s, uint64_t holder);

/* Returns the holder to take a place from, when all `places` are taken and `holder` wants one more:
 * the holder with the most, if it has more than an equal part for each, `holder` included, and
 * `holder` has less than that. Else 0. */
uint64_t shares_above_part(const struct shares *s, uint64_t holder, size_t places);

#endif
