/*
 * Why a file cannot be had, in words for a remote person: what to ask for, and no path of the host.
 */
#ifndef DAEMON_REASON_H
#define DAEMON_REASON_H

#include "store/store.h"

#define REASON_SILENT "the host's storage does not answer: ask again later"
#define REASON_NO_WORKER "the host cannot start a process: ask again later"
#define REASON_STORE "the host's store cannot be read: ask its owner to check it"
#define REASON_CRASHED "the host failed twice while at it: ask its owner to look at the log"
#define REASON_STOPPING "the resource is being stopped: ask again later"

/* NULL for a state in which the file may be read. Absent files have no reason either. */
const char *reason_of_state(enum store_state state);

#endif
