/* The verdict on whether a daemon runs, by its lease alone: what liveness_watch.h finds and
 * status_text.h prints. */
#ifndef DAEMON_LIVENESS_H
#define DAEMON_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/lease_record.h"

enum liveness_verdict { LIVENESS_ALIVE, LIVENESS_NONE, LIVENESS_UNCLEAR };

struct liveness {
    enum liveness_verdict verdict;
    bool has_record;
    struct lease_record record; /* of the holder, also of one that is gone */
    int64_t age_ms;   /* since the last renewal; -1: not known */
    int64_t stale_ms; /* the lease may be taken over after so long without one */
    char reason[ERR_MESSAGE_SIZE]; /* of a verdict that is not ALIVE, a note on one that is; "" */
};

#endif
