/*
 * How many connections each client address has, and each user who is known, so that none can have
 * them all. An IPv6 address counts as its /64, which is what one customer has.
 */
#ifndef HUB_TALLY_H
#define HUB_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/addr.h"

struct tally;

/* Returns counts that let each address, and each user, have at most `max_each` connections. NULL
 * without memory. */
struct tally *tally_new(size_t max_each, struct err *e);
void tally_free(struct tally *t); /* NULL-safe */

/* Counts one more connection of an address. Returns its place, for tally_leave; 0 when it has as
 * many as it may, and without memory. All addresses that are neither IPv4 nor IPv6 count as one. */
uint64_t tally_enter(struct tally *t, const struct addr *peer);

/* Counts one more connection of a user like tally_enter, whatever its address. */
uint64_t tally_enter_user(struct tally *t, struct str user);

/* Counts one connection less of that place; does nothing for 0. */
void tally_leave(struct tally *t, uint64_t place);

/* Returns how many connections the address or user of a place has; of place 0 none. */
size_t tally_count(const struct tally *t, uint64_t place);

/* Returns how many addresses and users have connections. */
size_t tally_holders(const struct tally *t);

/* Returns the place with the most connections, 0 when there are none. Takes time in the order of
 * all places. */
uint64_t tally_largest(const struct tally *t);

/* Appends the address of a place, which is not 0: "1.2.3.4", "2001:db8::/64"; or "a user". */
void tally_put_address(const struct tally *t, uint64_t place, struct buf *out);

#endif
