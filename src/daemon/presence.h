/*
 * Does the proxy still know this resource? A deployed proxy may forget a live daemon (PROTOCOL.md
 * §4): the line stays open, and whoever asks gets a 404. So the daemon asks for a file of its own
 * over the proxy's HTTP side, as a remote client would, soon after it connected and then now and
 * then.
 */
#ifndef DAEMON_PRESENCE_H
#define DAEMON_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/intervals.h"
#include "loop/loop.h"

struct presence;

/* The proxy's knowledge of the resource, as its last answers show it; other answers show
 * nothing. */
enum presence_state {
    PRESENCE_UNKNOWN,
    PRESENCE_KNOWN,    /* the request came through */
    PRESENCE_FORGOTTEN /* the proxy answered twice in a row that there is no such resource */
};

/* Makes it; config and intervals are borrowed. `wake` comes when a step is due. NULL without
 * memory. */
struct presence *presence_new(const struct config *config, const struct intervals *intervals,
                              const struct loop_wake *wake);
void presence_free(struct presence *p);

/* Begins to ask, as the line was acknowledged just now: after presence_first_ms, then every
 * presence_ms. */
void presence_start(struct presence *p, bool is_generation2, int64_t now_ms);

/* Asks no more, as the line is gone. */
void presence_stop(struct presence *p);

/* Asks, or takes an answer, as far as it can without waiting; returns the state after it. */
enum presence_state presence_step(struct presence *p, int64_t now_ms);

#endif
