/* The text of the status file: how the daemon does, for whoever looks, on any host. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include <stdint.h>

#include "base/buf.h"
#include "daemon/config.h"
#include "daemon/jobs.h"
#include "daemon/lease.h"
#include "daemon/lines.h"
#include "daemon/registration.h"
#include "daemon/session.h"
#include "daemon/uploads.h"

struct status_view {
    const struct config *config;
    const struct lease_holder *holder;
    const struct jobs *jobs;
    struct session_view session;
    struct uploads_totals totals;
    struct lines_counts ranges;
    enum registration_state registration;
    uint64_t requests;
    bool is_stopping;
    int64_t now_ms; /* wall clock */
};

/* Appends one JSON object. No secret, no path. */
void status_put(struct buf *out, const struct status_view *view);

#endif
