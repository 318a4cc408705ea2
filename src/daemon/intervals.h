/*
 * Every interval of the daemon in one struct, in milliseconds. The product uses the defaults; tests
 * shorten single ones with the environment variable KACHERY_RESOURCE_TEST_INTERVALS, a list such as
 * "ping_ms=200,dead_ms=600". It is no part of the command line: names may change.
 */
#ifndef DAEMON_INTERVALS_H
#define DAEMON_INTERVALS_H

#include <stdint.h>

#include "base/err.h"

struct intervals {
    /* the line to the proxy */
    int64_t connect_ms;     /* dial and handshake together */
    int64_t acknowledge_ms; /* wait for it so long after `initialize` */
    int64_t ping_ms;        /* a ping frame that often */
    int64_t dead_ms;        /* no byte from the proxy for so long: dead */
    int64_t retry_min_ms;   /* first pause before another attempt */
    int64_t short_outage_ms; /* in the first so long of an outage ... */
    int64_t retry_short_ms;   /* ... the pauses double up to this only, */
    int64_t connect_short_ms; /* and who was connected before gives up an attempt so soon */
    int64_t retry_max_ms;   /* later, the pauses double up to this */
    int64_t retry_after_max_ms; /* the most that a proxy may ask for by Retry-After */
    int64_t stable_ms;      /* a session this old ends an outage: pauses start anew */
    int64_t presence_first_ms; /* after so long, ask the proxy whether it knows this resource */
    int64_t presence_ms;       /* and again that often */
    int64_t redial_max_ms;     /* the pauses, when it did not, double up to this */
    int64_t repeat_log_ms;  /* the same failure is logged again after so long */
    /* jobs */
    int64_t lookup_slow_ms;   /* after so long without an answer others take another worker */
    int64_t lookup_lost_ms;   /* after so long it is answered: storage does not answer */
    int64_t upload_recall_ms; /* whose first bytes take longer makes room for others */
    int64_t upload_silent_ms; /* an upload worker without a word for so long is given up */
    int64_t upload_stopped_ms; /* a worker stopped by a signal for so long is given up */
    int64_t worker_idle_ms;   /* an upload worker without work leaves after so long */
    int64_t worker_cpu_ms;    /* instead of workerProcessorSeconds; -1: as the config says */
    int64_t keep_result_ms;   /* how a job ended, kept for the next to ask if no waiter got it */
    int64_t stop_ms;          /* running uploads may finish in this time after SIGTERM */
    int64_t close_ms;         /* then the last answers may be sent in this */
    /* lines for reading in parts */
    int64_t line_idle_ms;    /* a line without a wanted block ends */
    int64_t line_leave_ms;   /* a range worker without a line ends */
    /* files beside the config */
    int64_t lease_refresh_ms;  /* the lease is renewed that often */
    int64_t lease_hold_ms;     /* without a renewal for so long the daemon does not serve */
    int64_t lease_stale_ms;    /* a lease that does not change for so long is taken over ... */
    int64_t lease_look_ms;     /* ... by a process that looks that often */
    int64_t lease_claim_ms;    /* a taker that does not get on for so long has died */
    int64_t lease_plain_ms;    /* age of a lease of release 0.1 that is taken over */
    int64_t keeper_stopped_ms; /* a keeper that is stopped for so long, and late, is replaced */
    /* looking at a daemon from outside */
    int64_t look_silent_ms; /* a file system that does not answer for so long hangs */
    int64_t look_watch_ms;  /* the lease of another host is watched for so long */
    int64_t look_doubt_ms;  /* clocks of hosts, and caches of file systems, may be off by so much */
    int64_t look_again_ms;  /* status --watch */
    /* the status file */
    int64_t status_ms;      /* at most one status file per so long */
    int64_t status_idle_ms; /* one when nothing has changed for so long */
    /* is this client registered? asked again after so long if not */
    int64_t registration_ms;
    int64_t gateway_first_ms; /* if it is, again after so long, and whether it may upload, ... */
    int64_t gateway_check_ms; /* ... and then that often */
};

/* Sets the defaults, with the changes of KACHERY_RESOURCE_TEST_INTERVALS. ERR_USAGE quoting a bad
 * part. */
int intervals_load(struct intervals *t, struct err *e) ERR_CHECKED;

#endif
