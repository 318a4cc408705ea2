/* Ctrl-C while a file is half-written: the temporary file goes before the process does. */
#ifndef CMD_INTERRUPT_H
#define CMD_INTERRUPT_H

/* Names the one file that SIGINT, SIGTERM and SIGHUP remove before they end the process (a signal
 * that is ignored stays ignored); NULL: none any more. `ctx` is not used: this is a callback. */
void interrupt_guard(void *ctx, const char *temporary);

#endif
