/*
 * How many leaves of a line for bulk are asked for at a time: as many as fill the line, so that
 * nothing small that takes the same way waits behind a long queue. It is found by what
 * comes: the rate at which leaves come, and the time that one takes when none waits for another
 * (as BBR does; draft-cardwell-iccrg-bbr-congestion-control). No clock, no line.
 *
 *     STARTING: twice as many in each round, until they only wait longer, or come no faster
 *     then      rate * time, a quarter more in one round of eight, to see a rate that rises;
 *               half as many in one round of each 10 s, to see the time without a queue
 */
#ifndef PROXY_PACE_H
#define PROXY_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACE_MIN = 2, PACE_MAX = 64, PACE_SLOTS = 2 };

struct pace {
    size_t window;
    bool is_starting;
    bool was_full;        /* in this round, as many as may be were asked for */
    unsigned flat, turn;  /* rounds without a higher rate; rounds after the start */
    int64_t round_ms;     /* when it began; CLOCK_NEVER_MS: none did */
    size_t came;          /* leaves, in this round */
    int64_t last_ms;      /* the time that the last one took */
    unsigned slot;        /* of the last 10 s; the other is of the 10 s before */
    int64_t slot_ms;      /* when it began */
    double rates[PACE_SLOTS];   /* the highest, in leaves a ms */
    int64_t least_ms[PACE_SLOTS]; /* the shortest time of a leaf; 0: none came */
};

void pace_init(struct pace *p);

/* Returns how many leaves may be on their way. */
size_t pace_window(const struct pace *p);

/* Takes note that leaves are asked for while none is on its way. */
void pace_begin(struct pace *p, int64_t now_ms);

/* Takes note that a leaf came, `took_ms` after it was asked for. `is_full`: as many as may be were
 * on their way. */
void pace_came(struct pace *p, int64_t now_ms, int64_t took_ms, bool is_full);

#endif
