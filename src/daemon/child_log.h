/* Logs the ends of the daemon's children. For the on_event of their owners. */
#ifndef DAEMON_CHILD_LOG_H
#define DAEMON_CHILD_LOG_H

#include "proc/child.h"

/* Logs "NAME process killed: WHY" when this process has killed it, and its end unless that is known
 * already or its exit status is 0. Other events are passed over. */
void child_log_event(const struct child *child, enum child_event event, const char *name,
                     const char *words);

#endif
