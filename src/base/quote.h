/* Foreign bytes made fit for a message: one line, valid UTF-8, of bounded length. */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include "base/buf.h"
#include "base/str.h"

enum { QUOTE_SIZE = 128 };

/* Appends text as it is, but for characters that change the direction in which a terminal shows
 * what follows (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069), which become \xHH: a
 * name is to read as what it is. For terminals and logs alone, never for what programs read. */
void quote_put_upright(struct buf *out, struct str text);

/* Returns the bytes of the UTF-8 character at the start of `text` when it may stand in a line as it
 * is; 0 when there is none, when it is a control (C0, DEL, C1), another end of the line (U+2028,
 * U+2029) or changes the direction of what follows. */
size_t quote_plain_bytes(struct str text);

/* Writes `text` to `out` and returns `out`, so that it can stand among printf's arguments. A byte
 * that is not plain becomes \xHH; text that does not fit is replaced by "...". */
const char *quote_str(char out[QUOTE_SIZE], struct str text);

#endif
