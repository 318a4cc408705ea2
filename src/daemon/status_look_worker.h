/*
 * The child of a command that looks at a daemon: reads the files beside its config, which may hang.
 * It reads /proc and those files, writes none but a request to end (stop_request.h), sends SIGTERM
 * to the daemon alone, opens no connection, does not fork, and talks to the command alone.
 */
#ifndef DAEMON_STATUS_LOOK_WORKER_H
#define DAEMON_STATUS_LOOK_WORKER_H

#include "daemon/intervals.h"

struct status_look_worker {
    const char *config_path;
    const struct intervals *intervals;
};

/* Runs it: a process_options.run whose `ctx` is a struct status_look_worker. It answers each
 * question with any number of LOOK_MESSAGE_WATCHING and one answer (look_message.h). */
int status_look_worker_run(int fd, void *ctx);

#endif
