/* Ctrl-C while a file is half-written: the temporary file goes before the process does. */
#ifndef CMD_INTERRUPT_H
#define CMD_INTERRUPT_H

#include <stdbool.h>

/* Names the one file that SIGINT, SIGTERM and SIGHUP remove before they end the process (a signal
 * that is ignored stays ignored); NULL: none any more. `ctx` is not used: this is a callback. */
void interrupt_guard(void *ctx, const char *temporary);

/* The other way, for work that can be told to stop and cleans up itself: between the two calls the
 * signals are noted only; interrupt_act ends the process if one came. */
void interrupt_note(void);
bool interrupt_came(void);
void interrupt_act(void);

#endif
