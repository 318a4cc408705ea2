/* Foreign bytes made fit for a message: one line, valid UTF-8, of bounded length. */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include "base/str.h"

enum { QUOTE_SIZE = 128 };

/* Writes `text` to `out` and returns `out`, so that it can stand among printf's arguments. Control
 * bytes and bytes that are not UTF-8 become \xHH; what does not fit is replaced by "...". */
const char *quote_str(char out[QUOTE_SIZE], struct str text);

#endif
