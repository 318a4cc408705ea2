/*
 * Why a file cannot be had, in words for a remote person: what to ask for, and nothing that he was
 * never given: no path of the host, no hash or size of what a file is now, no name of a proxy in
 * the host's network. The host's log has all that.
 */
#ifndef DAEMON_REASON_H
#define DAEMON_REASON_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "store/store.h"

#define REASON_SILENT "the host's storage does not answer: ask again later"
#define REASON_NO_WORKER "the host cannot start a process: ask again later"
#define REASON_STORE "the host's store cannot be read: ask its owner to check it"
#define REASON_CRASHED "the host failed twice while at it: ask its owner to look at the log"
#define REASON_STOPPING "the resource is being stopped: ask again later"

#define REASON_GONE "the file is no longer shared"
#define REASON_ZONE "the host cannot upload the file: ask its owner to look at the log"

/* Returns the reason why an upload failed: the zone's own words, else as little as helps. Borrows
 * from `e`, whose code is ERR_NOT_FOUND for a file that must not be given away. */
const char *reason_of_error(const struct err *e, enum store_kind kind);

/* Returns true for a reason that says that the file is not, or not where, it was when it was
 * shared. */
bool reason_is_change(struct str reason);

/* Returns true when a text may contain the path of a file of this host. */
bool reason_names_path(const char *text);

/* Returns the reason why a file of that state is not sent; NULL if it may be read or is absent. */
const char *reason_of_state(enum store_state state);

#endif
