/* Ctrl-C while a file is half-written: the temporary file goes before the process does. */
#ifndef CMD_INTERRUPT_H
#define CMD_INTERRUPT_H

#include <stdbool.h>

/* Names the one file that SIGINT, SIGTERM and SIGHUP remove before they end the process, in place
 * of the one before; NULL: none. A signal that is ignored stays ignored. The name is copied; `ctx`
 * is not used: this is a callback. */
void interrupt_guard(void *ctx, const char *temporary);

/* Lets the signals only be noted from now on, for work that can be stopped and cleans up itself. */
void interrupt_note(void);

/* Returns whether a signal was noted. */
bool interrupt_came(void);

/* Ends the noting, and the process if a signal was noted. */
void interrupt_act(void);

#endif
