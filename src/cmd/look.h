/* The common part of `status` and `stop`. */
#ifndef CMD_LOOK_H
#define CMD_LOOK_H

#include "base/buf.h"
#include "daemon/status_look.h"

/* Prints why a look failed, and returns the exit status: CMD_NOT_FOUND when nothing runs as there
 * is nothing, else CMD_FAILED. */
int look_fail(const char *name, const struct err *e);

/* Appends "NAME on HOST (process PID)" of the lease's holder. */
void look_put_holder(struct buf *out, const struct status_found *found);

#endif
