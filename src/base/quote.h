/* Foreign bytes made fit for a message: one line, valid UTF-8, of bounded length. */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include "base/str.h"

enum { QUOTE_SIZE = 128 };

/* Bytes of the UTF-8 character at the start of `text` when it may stand in a line as it is; 0 when
 * there is none, when it is a control (C0, DEL, C1) or another end of the line (U+2028, U+2029). */
size_t quote_plain_bytes(struct str text);

/* Writes `text` to `out` and returns `out`, so that it can stand among printf's arguments. What is
 * not plain becomes \xHH, byte by byte; what does not fit is replaced by "...". */
const char *quote_str(char out[QUOTE_SIZE], struct str text);

#endif
