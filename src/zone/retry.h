/*
 * Repeats calls that failed for reasons that may pass, after pauses that grow, never for ever;
 * every wait can be cancelled. Also the one way in which the zone client runs a call.
 */
#ifndef ZONE_RETRY_H
#define ZONE_RETRY_H

#include "base/err.h"
#include "base/str.h"
#include "http/http_client.h"
#include "zone/patience.h"

/* How often is_cancelled is asked at least. */
enum { RETRY_CANCEL_POLL_MS = 100 };

struct retry {
    const struct patience *patience;
    const struct zone_watch *watch;
    int64_t until_ms;   /* no attempt begins later (clock_now_ms()), or CLOCK_NEVER_MS */
    int64_t least;      /* attempts to make, even later than that */
    bool is_known;      /* the host answered before: that it has no address may pass too */
    int64_t attempts;   /* failed ones, all together */
    int64_t failures;   /* the same since it last got further */
    int64_t further_ms; /* when that was (clock_now_ms()) */
    int64_t after_ms;   /* the Retry-After of the last answer; -1: none */
};

/* Begins a series of attempts; both pointers are borrowed. Without an end time patience->attempts
 * and lost_ms limit it, both. */
void retry_init(struct retry *r, const struct patience *patience, const struct zone_watch *watch,
                int64_t until_ms);

/* Remembers the Retry-After of an answer for the next pause. */
void retry_note_answer(struct retry *r, const struct http_head *head);

/* Begins the pauses anew, as the attempt got further than all before. */
void retry_got_further(struct retry *r);

/*
 * Pauses after a failed attempt, whose error is *e. Returns 0 after the pause: try again. Returns
 * -1 when it is not to be repeated (only ERR_NETWORK and ERR_TIMEOUT may pass, ERR_NO_HOST if
 * is_known), when the attempts are used up (*e then has their number), or with *e "cancelled".
 */
int retry_again(struct retry *r, struct err *e) ERR_CHECKED;

/* Returns the length of the next pause; `random` is any number. */
int64_t retry_pause_ms(const struct retry *r, uint64_t random);

/* Waits for `pause_ms`; -1 with ERR_FAILED "cancelled" if the watch ends it. */
int retry_wait(const struct zone_watch *watch, int64_t pause_ms, struct err *e) ERR_CHECKED;

/* Performs a call like http_client_perform, but gives up with ERR_FAILED "cancelled" soon after
 * is_cancelled is true. on_step (may be NULL) is called before every step and gets the options'
 * ctx. */
struct http_call *retry_call(struct http_client *http, const struct http_call_options *options,
                             const struct zone_watch *watch,
                             void (*on_step)(void *ctx, const struct http_call *call),
                             struct err *e);

#endif
