/*
 * A request to a daemon on another host to end: a file in the lease's folder, which the keeper
 * makes at its start and reads at each renewal of the lease. It is written in place: a name that
 * is new would not be seen for a while where a file system caches names. File I/O, which may hang.
 */
#ifndef DAEMON_STOP_REQUEST_H
#define DAEMON_STOP_REQUEST_H

#include <stdbool.h>

#include "base/err.h"

enum { STOP_REQUEST_HOST = 256 };

/* Makes an empty file if there is none. Best effort: without it `stop` works on the daemon's own
 * host alone. */
void stop_request_make(const char *folder);
void stop_request_remove(const char *folder);

/* Asks the daemon that holds the lease by that token to end. An error without such a file: that
 * daemon is of a release that takes no requests. */
int stop_request_write(const char *folder, const char *token, struct err *e) ERR_CHECKED;

/* Returns true when the holder of that token is asked to end, and by which host. */
bool stop_request_came(const char *folder, const char *token, char host[STOP_REQUEST_HOST]);

#endif
