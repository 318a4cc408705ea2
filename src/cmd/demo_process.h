/*
 * The commands of the demo as processes of their own: forked, each with its folder, environment and
 * output file, run from the command table as if typed. Used by demo.c alone.
 */
#ifndef CMD_DEMO_PROCESS_H
#define CMD_DEMO_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

enum { DEMO_MAX_SERVERS = 4, DEMO_MAX_ARGUMENTS = 16 };

struct demo_command {
    const char *directory;
    const char *const *environment; /* "NAME=value"; NULL ends it. Ours from outside are not seen */
    const char *const *arguments;   /* the command's name first; NULL ends them */
    const char *output;             /* the file that gets stdout */
};

struct demo_server {
    pid_t pid;
    const char *name, *log; /* borrowed */
};

struct demo_processes {
    pid_t command; /* in the foreground; 0: none */
    struct demo_server servers[DEMO_MAX_SERVERS];
    size_t server_count;
    bool outlive_us; /* the servers go on when this process ends, however it ends */
    sigset_t waited, before;
};

/* Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD, which the functions below wait for; ignores SIGPIPE.
 * SIGHUP stays ignored where it was. */
void demo_processes_init(struct demo_processes *p);

/* Restores the signals. Processes that run are not stopped. */
void demo_processes_deinit(struct demo_processes *p);

/*
 * Runs a command to its end; *exit_status is its. Its standard error is ours: errors and progress
 * are seen as they come. Returns -1 and *e when it could not be started or was killed, when a
 * server ended meanwhile, and for a signal that asks us to stop.
 */
int demo_processes_run(struct demo_processes *p, const struct demo_command *command,
                       int *exit_status, struct err *e);

/*
 * Starts a server whose output and errors go to command->output, and waits until a line with
 * `text` stands there; the line (without its end) is appended. `name` and the output's name are
 * kept.
 */
int demo_processes_serve(struct demo_processes *p, const char *name,
                         const struct demo_command *command, const char *text, struct buf *line,
                         struct err *e);

/* Sleeps for `ms` milliseconds, or until a signal comes. Returns -1 and *e when a server ended, and
 * for a signal that asks us to stop. */
int demo_processes_pause(struct demo_processes *p, int ms, struct err *e);

/* Sends SIGTERM to all processes, the last started first, and waits for their ends; SIGKILL after
 * DEMO_STOP_MS or a second signal. */
void demo_processes_stop(struct demo_processes *p);

#endif
