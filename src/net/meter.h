/*
 * The bytes that the sockets of this process may send, where its parent limits them: it is given
 * some, and asks for more when a socket begins to use its share, so that the next ones are there
 * when that is used up, also on a busy host. A process without a meter sends as
 * it likes. Knows no rate and no clock but the loop's.
 */
#ifndef NET_METER_H
#define NET_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"

enum {
    METER_STALE_MS = 1000, /* bytes that were not sent for so long are void */
    METER_AGAIN_MS = 1000 /* an answer that did not come for so long is asked for again */
};

/* A socket that may have to wait. Embedded in its owner; zero before first use. */
struct meter_place {
    struct meter_place *next, **link; /* link NULL: it does not wait */
    int64_t share;                    /* bytes that it may send */
    int64_t given_ms;
    bool has_lowat;                   /* the kernel was told of `unsent_bytes` */
    int unsent_bytes;
};

struct meter {
    struct loop *loop;
    /* More is needed, soon or now: meter_give is to follow. Called again if that takes
     * METER_AGAIN_MS. */
    void (*on_empty)(void *owner);
    void *owner;
    bool is_open; /* all may send as they like for now */
    int unsent_bytes; /* that the kernel shall take of one socket beyond what is on its way; 0: as
                         it likes */
    bool is_asking; /* the rest is the meter's */
    int64_t spare, spare_ms; /* bytes that came while no socket waited */
    struct loop_timer again;
    struct meter_place *first, **last;
};

/* Makes this the meter of the process. `loop`, `on_empty`, `owner` and `is_open` are set. */
void meter_use(struct meter *meter);

/* Ends the wait for meter_give, which may not come any more: the next socket asks anew. */
void meter_forget(struct meter *meter);

/* Returns the meter of the process; NULL: it has none. */
struct meter *meter_of_process(void);

/* Returns how many of `wanted` bytes may be sent now. 0: `place` waits. */
size_t meter_allow(struct meter *meter, struct meter_place *place, size_t wanted);

/* Takes note that bytes were sent. */
void meter_spend(struct meter *meter, struct meter_place *place, size_t bytes);

/* Gives bytes to all that wait, the same to each, and calls `wake` for each, in their order. While
 * none waits they are for the next one that does. */
void meter_give(struct meter *meter, int64_t bytes, void (*wake)(struct meter_place *place));

/* Ends a wait. */
void meter_leave(struct meter *meter, struct meter_place *place);

#endif
