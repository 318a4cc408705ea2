/*
 * Looks at a daemon from outside, on any host that sees its folder: lease, status file, last run of
 * cron; and asks it to end. A child does that, since their file system may hang: the caller's wait
 * is bounded. For commands.
 */
#ifndef DAEMON_STATUS_LOOK_H
#define DAEMON_STATUS_LOOK_H

#include "base/err.h"
#include "daemon/intervals.h"
#include "daemon/look_message.h"

struct status_look;

/* Starts the child. `config_path` is the daemon's config file, which need not be readable; it and
 * the intervals are borrowed. */
struct status_look *status_look_new(const char *config_path, const struct intervals *intervals,
                                    struct err *e);
void status_look_free(struct status_look *l);

/* Looks: runs the loop until there is a verdict. ERR_TIMEOUT when the file system does not answer:
 * the next call goes on waiting for it. ERR_NOT_FOUND when there is neither a lease nor a status
 * nor a config. */
int status_look_run(struct status_look *l, const struct status_question *question,
                    struct status_found *out, struct err *e) ERR_CHECKED;

#endif
