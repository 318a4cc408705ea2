/*
 * The signals that end a command whose work is done by child processes, in its loop: they are
 * noted, so that the command can put everything away. The ends of the children are taken note of,
 * too.
 */
#ifndef CMD_ENDING_H
#define CMD_ENDING_H

#include "base/err.h"
#include "loop/loop.h"

/* Zero before first use. */
struct ending {
    struct loop *loop;
    struct loop_fd signals;
    int number; /* of the signal that came: SIGINT, SIGTERM or SIGHUP; 0: none */
};

/* Blocks the signals and notes them in the loop, which is borrowed. SIGPIPE is ignored: a reader
 * that leaves is an error of standard output. */
int ending_open(struct ending *ending, struct loop *loop, struct err *e) ERR_CHECKED;

/* Ends the noting of signals, which stay blocked. Safe on all zeros. */
void ending_close(struct ending *ending);

/* Ends this process by the signal, as its parent expects. */
void ending_die(int number);

#endif
