/* Completion scripts, made of the tables of commands: one file a shell; used by completion.c. */
#ifndef CMD_COMPLETION_SHELLS_H
#define CMD_COMPLETION_SHELLS_H

#include "base/buf.h"
#include "cmd/cmd.h"

/* The tables of main.c, all of whose rows are completed; ends with NULL. */
extern const struct cmd *const completion_tables[];

/* Append the script for the shell. */
void completion_bash_put(struct buf *out);
void completion_zsh_put(struct buf *out);
void completion_fish_put(struct buf *out);

#endif
