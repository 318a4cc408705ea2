/*
 * How long and how often the zone client waits and tries again, and the hooks of a caller
 * meanwhile. The product uses the defaults; tests change single ones with the environment variable
 * KACHERY_RESOURCE_TEST_PATIENCE, a list such as "pause_min_ms=10,expect_ms=100".
 */
#ifndef ZONE_PATIENCE_H
#define ZONE_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct patience {
    int64_t pause_min_ms;   /* before another attempt; doubled each time, with jitter, up to */
    int64_t pause_max_ms;
    int64_t retry_after_ms; /* the most that a server may ask for */
    int64_t attempts;       /* of a transfer, without getting further, at least */
    int64_t lost_ms;        /* and for so long: a line that is down comes back */
    int64_t call_ms;        /* one call of the gateway */
    int64_t asking_ms;      /* a call and its repetitions */
    int64_t waiting_ms;     /* the same where the user waits anyway: a server that starts again */
    int64_t asking_least;   /* attempts, however long each was silent */
    int64_t working_ms;     /* like asking_ms, where much is done already */
    int64_t expect_ms;      /* for the bucket's word before an upload's body is sent */
    int64_t stall_ms;       /* a transfer without a byte */
    int64_t answer_ms;      /* the bucket's answer, when it has all: it may sync to disk first */
    int64_t pending_every_ms; /* an older gateway's alreadyPending is asked again that often */
    int64_t pending_total_ms; /* for so long */
};

/* Sets the defaults, with the changes of KACHERY_RESOURCE_TEST_PATIENCE. ERR_USAGE quoting a bad
 * part. */
int patience_load(struct patience *p, struct err *e) ERR_CHECKED;

/* A caller's hooks for calls that take long. All zeros: none. */
struct zone_watch {
    /* Returns true to give up with ERR_FAILED "cancelled". Asked often in every wait. */
    bool (*is_cancelled)(void *ctx);
    /* Receives events in words for a log: another attempt, a wrong clock. */
    void (*on_note)(void *ctx, const char *text);
    void *ctx;
    /* Receives troubles that a person should mend although the call went well; each at most
     * once. */
    void (*on_warning)(void *ctx, const char *text);
};

/* How long a gateway that is away is asked, in a call and its repetitions. */
enum zone_patience {
    ZONE_ASKED,      /* patience.asking_ms */
    ZONE_WAITED_FOR, /* patience.waiting_ms: the user waits anyway */
    ZONE_WORKING     /* patience.working_ms: much is done already, and would be lost */
};

/* How a call of the zone waits. Its caller passes it by pointer, and may pass another one with the
 * next call. All zeros: asked for a short while, without hooks. */
struct zone_call {
    struct zone_watch watch;
    enum zone_patience patience;
    int64_t least; /* attempts, however long each was silent; 0: patience.asking_least */
};

/* Returns the same for work that would be lost. */
struct zone_call zone_call_working(const struct zone_call *call);

#endif
