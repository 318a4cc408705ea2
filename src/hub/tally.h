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

struct tally *tally_new(size_t max_each, struct err *e);
void tally_free(struct tally *t);

/* One connection more of that address. 0 when it has as many as it may (or there is no memory);
 * else what tally_leave wants. Addresses of other families count as one. */
uint64_t tally_enter(struct tally *t, const struct addr *peer);

/* The same for a user, whatever the address. */
uint64_t tally_enter_user(struct tally *t, struct str user);

/* 0 is nobody. */
void tally_leave(struct tally *t, uint64_t place);

/* How many connections the address or user of a place has. 0: none. */
size_t tally_count(const struct tally *t, uint64_t place);

/* How many addresses and users have one. */
size_t tally_holders(const struct tally *t);

/* The place with the most, 0 when there is none. Looks at all of them. */
uint64_t tally_largest(const struct tally *t);

/* Appends whose a place is: "1.2.3.4", "2001:db8::/64" or "a user". */
void tally_put_address(const struct tally *t, uint64_t place, struct buf *out);

#endif
