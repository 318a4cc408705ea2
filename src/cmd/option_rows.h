/* Takes the words of the table of commands apart for completion: the options in a help text,
 * and the operands in a usage. */
#ifndef CMD_OPTION_ROWS_H
#define CMD_OPTION_ROWS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "cmd/cmd.h"

/* A row of a help text: "  -o, --output FILE          write it to FILE, ...". All are borrowed. */
struct option_row {
    char letter;      /* 0: none */
    struct str name;  /* without "--" */
    struct str value; /* the word for its value; empty: it takes none */
    struct str about; /* the first line of the description, up to its first stop */
};

/* Takes the lines up to the next row of an option off the text. Returns false at its end. */
bool option_rows_next(struct str *help, struct option_row *row);

/* Calls `put` for each option of the command, and for those that all commands have. */
typedef void option_rows_put(struct buf *out, const struct cmd *command,
                             const struct option_row *option);
void option_rows_each(struct buf *out, const struct cmd *command, option_rows_put *put);

/* Append words for what completes the value of an option, or a command's operands, with spaces
 * between them: uri, file, folder, topic (with commands); of operands also words themselves. */
void option_rows_put_kinds(struct buf *out, struct str value);
void option_rows_put_operands(struct buf *out, const struct cmd *command);

#endif
