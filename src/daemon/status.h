/* The text of the status file: how the daemon does, for whoever looks, on any host. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "daemon/config.h"
#include "daemon/history.h"
#include "daemon/jobs.h"
#include "daemon/lease.h"
#include "daemon/lines.h"
#include "daemon/processor.h"
#include "daemon/registration.h"
#include "daemon/session.h"
#include "daemon/uploads.h"

struct status_view {
    const struct config *config;
    const struct lease_record *holder;
    const struct jobs *jobs;
    const struct registration_view *gateway;
    const struct history *history; /* without what `uploads` and `ranges` counted */
    struct session_view session;
    struct uploads_totals uploads;
    struct lines_counts ranges;
    struct processor_view processor;
    bool is_stopping;
    const char *ending; /* how it ended; NULL: it runs */
    int64_t now_ms; /* wall clock */
};

/* Appends one JSON object. No secret, no path. */
void status_put(struct buf *out, const struct status_view *view);

#endif
