/*
 * The bytes that workers may send, by the rates of the config: one that has used up what it had
 * asks, and is given what the rate lets go until then, at most 50 ms of it. Workers that ask at one
 * time get the same. While nobody asks, nothing runs. Reads no socket and no file.
 */
#ifndef DAEMON_CREDITS_H
#define DAEMON_CREDITS_H

#include <stdint.h>

#include "base/err.h"
#include "daemon/rate_plan.h"
#include "loop/loop.h"

enum {
    CREDITS_MS = 50,       /* of the rate are given at a time, at most */
    CREDITS_TICK_MS = 20,  /* between two times */
    CREDITS_BEHIND_MS = 300, /* of the rate may be made up for, when this process had no turn */
    CREDITS_MAX_ASKING = 256
};

/* The rate where there is no limit for now. */
#define CREDITS_UNLIMITED INT64_C(10000000000)

struct credits;

/* Bytes for a worker, and how many its kernel shall hold back of a socket (meter.h). */
struct credit {
    int64_t bytes, unsent;
};

/* Makes it; the plan is borrowed. NULL without memory. */
struct credits *credits_new(struct loop *loop, const struct rate_plan *plan, struct err *e);

/* Forgets all who ask. NULL-safe. */
void credits_free(struct credits *c);

/* Asks for bytes: `give` follows, with `id`, soon. When CREDITS_MAX_ASKING ask already, it gets a
 * credit of 1 byte at once. */
void credits_ask(struct credits *c,
                 void (*give)(void *owner, uint64_t id, const struct credit *credit), void *owner,
                 uint64_t id);

/* Returns the bytes a second that may be sent now; 0: there is no limit. */
int64_t credits_rate(const struct credits *c);

#endif
