/* Questions, on a terminal or answered by a pipe. A terminal does not echo a secret; a signal gives
 * it back as it was. */
#ifndef CMD_PROMPT_H
#define CMD_PROMPT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum { PROMPT_MAX_BYTES = 4096 };

/* Prints "text [offered]: " to stderr (`offered` may be NULL) and appends a line of stdin to
 * *answer, without its end. ERR_NOT_FOUND at the end of the input, ERR_TOO_LARGE for a line of more
 * than PROMPT_MAX_BYTES. */
int prompt_ask(const char *text, const char *offered, bool is_secret, struct buf *answer,
               struct err *e);

#endif
