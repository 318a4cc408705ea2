/* Logs why a child of the daemon ended. For those whose owner does not wait for that; the daemon
 * calls process_reap at SIGCHLD. */
#ifndef DAEMON_CHILD_LOG_H
#define DAEMON_CHILD_LOG_H

#include "proc/process.h"

/* Its end is logged, unless its exit status is 0. `name` is borrowed for good. */
void child_log_watch(const struct process *p, const char *name);

/* For one that hung up. Closes the socket and empties the struct, but does not kill: whose SIGKILL
 * ended it could not be known then. A child that reads ends by itself. */
void child_log_let_go(struct process *p);

/* SIGKILL by us, which is logged as such: "NAME process killed: WHY". The socket stays. */
void child_log_kill(const struct process *p, const char *name, const char *why);

/* SIGKILL, which nobody needs to know of. Empties the struct. */
void child_log_end(struct process *p);

#endif
