/*
 * The keeper child: writes the log, the status file and the lease, which may lie on storage that
 * hangs, and removes what killed processes left. It writes beside the config and into the log's and
 * the store's folder, opens no connection, does not fork, and talks to the supervisor alone.
 */
#ifndef DAEMON_KEEPER_WORKER_H
#define DAEMON_KEEPER_WORKER_H

#include "base/fields.h"
#include "base/str.h"

/* Every message of both directions. */
struct keeper_message {
    struct str text;
    int64_t lost; /* lines of the audit */
    int64_t started_ms; /* clock_now_ms, which all processes of a host share */
};

/* Its orders: {"type":"log","line":…}, {"type":"status","text":…}, {"type":"reopen"},
 * {"type":"audit","lost":…,"lines":…} and {"type":"leave"}. */
enum keeper_order { KEEPER_LOG, KEEPER_STATUS, KEEPER_REOPEN, KEEPER_AUDIT, KEEPER_LEAVE };
extern const struct field *const keeper_orders[];

/* Its reports: {"type":"renewed","startedMs":…} with the time before the renewal,
 * {"type":"doubt","reason":…} when the lease may be another's, {"type":"lost","reason":…} when it
 * is, {"type":"stop","host":…} when that host asks the daemon to end, {"type":"trouble","what":…}
 * when something cannot be written or was written anew, {"type":"audited","lost":…} behind each
 * audit: so many lines of it, and of those that were lost before, were not written. */
enum keeper_report {
    KEEPER_RENEWED,
    KEEPER_DOUBT,
    KEEPER_LOST,
    KEEPER_STOP,
    KEEPER_TROUBLE,
    KEEPER_AUDITED
};
extern const struct field *const keeper_reports[];

/* Runs the keeper: a process_options.run whose `ctx` is a struct keeper_options. */
int keeper_worker_run(int fd, void *ctx);

#endif
