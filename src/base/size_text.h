/* Amounts of bytes as people write them: "10MB", "1.5 GB", "4096". */
#ifndef BASE_SIZE_TEXT_H
#define BASE_SIZE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Reads a number, perhaps with decimals, and perhaps one of the units B, kB, MB, GB and TB (powers
 * of 1,000, in letters of either case, the B may be missing). Returns false if the text is anything
 * else or means more than `max` bytes. */
bool size_text_read(struct str text, int64_t max, int64_t *bytes);

#endif
