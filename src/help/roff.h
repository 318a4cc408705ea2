/*
 * Plain text of `help` as source of a man page (man(7)). Pure.
 *
 *     HEADING IN CAPITALS           a sub-section
 *     text                          a paragraph, up to the next empty line
 *       term      description       an indented row: a term and what it means, which may go on in
 *                                   the following lines if they are indented more than the term
 *         $ command                 lines with an indent of four: as they are
 */
#ifndef HELP_ROFF_H
#define HELP_ROFF_H

#include "base/buf.h"
#include "base/str.h"

/* Appends the text, which ends with a newline or is empty, to a section that begins with it. */
void roff_put_text(struct buf *out, struct str text);

/* Appends a line `.MACRO argument`. */
void roff_put_macro(struct buf *out, const char *macro, struct str argument);

/* Appends one line of words that may be filled. */
void roff_put_line(struct buf *out, struct str line);

#endif
