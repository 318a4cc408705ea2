/* Man pages (source for man(7)) of everything, of one topic, of one command: made of the topics of
 * `help` and the command tables, so that neither is written twice. */
#ifndef CMD_MAN_H
#define CMD_MAN_H

#include "base/buf.h"
#include "cmd/cmd.h"
#include "help/help.h"

/* Append a man page: of the whole program, of a topic (section 7), of a command's row. */
void man_put_all(struct buf *out);
void man_put_topic(struct buf *out, const struct help_topic *topic);
void man_put_command(struct buf *out, const struct cmd *row);

#endif
