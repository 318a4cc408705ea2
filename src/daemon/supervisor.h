/*
 * The daemon: one loop over the session with the proxy, the job table, the lookups, the uploads and
 * the keeper. After its start it does no file I/O and no name look-ups: children do.
 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/history.h"
#include "daemon/intervals.h"
#include "daemon/lease.h"

enum supervisor_hangup { HANGUP_STOPS, HANGUP_IGNORED, HANGUP_REOPENS_LOG };

struct supervisor_options {
    const struct config *config; /* complete */
    const struct intervals *intervals;
    struct lease *lease; /* taken */
    const char *status_path;
    struct history *history; /* of the daemons before this one; goes on with this one */
    const struct log_file_options *log; /* path NULL: standard error */
    const char *audit_path;             /* NULL: no audit */
    enum supervisor_hangup on_hangup;
    /* Ends (ERR_TAKEN) when the proxy reports that another daemon has the name, with one line in
     * the log and `refusedBy` in a status file that stays; until it has the name, only warnings
     * are logged. */
    bool yields;
    enum log_level log_level; /* from then on */
    void (*log_more)(void);   /* called behind the line on what is shared; may be NULL */
};

/* Runs until SIGTERM or SIGINT: 0. -1 when it makes no sense to go on; the reason is then in a log
 * that is a file, too. Gives the lease back. */
int supervisor_run(const struct supervisor_options *options, struct err *e) ERR_CHECKED;

#endif
