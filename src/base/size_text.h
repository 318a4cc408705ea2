/* Amounts of bytes as people write and read them: "10MB", "1.5 GB", "4096". */
#ifndef BASE_SIZE_TEXT_H
#define BASE_SIZE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Reads a number, perhaps with decimals, and perhaps one of the units B, kB, MB, GB and TB (powers
 * of 1,000, in letters of either case, the B may be missing). Returns false if the text is anything
 * else or means more than `max` bytes. */
bool size_text_read(struct str text, int64_t max, int64_t *bytes);

struct size_unit {
    const char *name;
    double bytes;
};

/* Returns the largest of those units that an amount is not less than; B for less than one. */
const struct size_unit *size_text_unit(double bytes);

/* Appends an amount in that unit: "1.9 TB", "82 MB", "0 B". */
void size_text_put(struct buf *out, double bytes);

#endif
