/*
 * How many bytes of bulk may be on their way from this host, on all lines together: as many as fill
 * the link, and no long queue in front of it, behind which small reads would wait. It is found by
 * what is delivered: the rate, and the shortest time to the other side and back (as
 * proxy/pace.h does for a line, which knows nothing of the others). No clock, no line.
 *
 *     rate * (1.6 times the shortest time + BULK_FLIGHT_QUEUE_MS)
 *
 * or, while small reads are sent, 1.25 times. While the link is not full, that is more than what is
 * on its way: more is sent each time.
 */
#ifndef DAEMON_BULK_FLIGHT_H
#define DAEMON_BULK_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BULK_FLIGHT_QUEUE_MS = 10,
    BULK_FLIGHT_LEAST_BYTES = 393216,
    BULK_FLIGHT_FIRST_BYTES = 1 << 20, /* before a rate is known */
    BULK_FLIGHT_SLOTS = 2
};

/* Zero before first use. */
struct bulk_flight {
    int64_t round_ms, delivered; /* when this round began, and the bytes by then */
    int64_t slot_ms;
    unsigned slot;               /* of the last seconds; the other is of those before */
    double rates[BULK_FLIGHT_SLOTS]; /* the highest, in bytes a ms; 0: none */
};

/* Takes note how many bytes were delivered, since any time; `least_us`: the shortest time there and
 * back. */
void bulk_flight_note(struct bulk_flight *f, int64_t delivered, int64_t least_us, int64_t now_ms);

/* Forgets the round: nothing was to be sent meanwhile, or the count began anew. */
void bulk_flight_skip(struct bulk_flight *f);

/* Returns how many bytes may be on their way; with `is_short` as few as fill the link. */
int64_t bulk_flight_bytes(const struct bulk_flight *f, int64_t least_us, bool is_short);

#endif
