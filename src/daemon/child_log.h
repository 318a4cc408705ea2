/* Logs the ends of the daemon's children, and reports those that were lost to one observer. For the
 * on_event of their owners. */
#ifndef DAEMON_CHILD_LOG_H
#define DAEMON_CHILD_LOG_H

#include "proc/child.h"

/* Sets the observer of this process: it gets each child that ended other than well, or had to be
 * killed, with the cause in words. NULL: none. */
void child_log_observe(void (*on_lost)(void *owner, const char *name, const char *words),
                       void *owner);

/* Logs "NAME process killed: WHY" when this process has killed it, and its end unless that is known
 * already or its exit status is 0; both are losses. Other events are passed over. */
void child_log_event(const struct child *child, enum child_event event, const char *name,
                     const char *words);

/* Reports a loss that its owner has logged. */
void child_log_lost(const char *name, const char *words);

#endif
