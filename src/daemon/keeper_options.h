/* The options of a keeper: for the supervisor's side (keeper.h) and the child's
 * (keeper_worker.h). */
#ifndef DAEMON_KEEPER_OPTIONS_H
#define DAEMON_KEEPER_OPTIONS_H

#include <stdint.h>

#include "base/err.h"
#include "base/log_file.h"
#include "daemon/lease.h"
#include "loop/loop.h"

struct keeper_options {
    struct loop *loop;         /* borrowed */
    struct lease *lease;       /* borrowed; taken; the child renews it and gives it back */
    const char *status_path;   /* borrowed */
    const struct log_file_options *log; /* borrowed; path NULL: standard error */
    const char *audit_path;             /* borrowed; NULL: none */
    int64_t renew_ms;
    int64_t stopped_ms; /* a child that is stopped for about so long is replaced */
    /* The lease was renewed; the renewal began at this time of clock_now_ms. */
    void (*on_renewed)(void *owner, int64_t started_ms);
    /* In the lease's place is the record of another process, which may be dead: nothing may be
     * served until on_renewed or on_lost. */
    void (*on_doubt)(void *owner, const char *why);
    /* The lease went to another process (ERR_REFUSED, which names it). */
    void (*on_lost)(void *owner, const struct err *reason);
    /* `stop` on the host of that name asks this daemon to end; called once. */
    void (*on_stop)(void *owner, const char *host);
    void *owner;
};

#endif
