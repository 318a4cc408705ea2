/* Hexadecimal: written in lower case, read in either. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Returns the value of a digit of either case, or -1. */
int hex_digit(char c);

/* Writes 2 * len digits and a NUL to out[2 * len + 1]. */
void hex_encode(const unsigned char *data, size_t len, char *out);

/* Reads exactly 2 * len digits of either case into out[len]; false on anything else, and out may
 * then be partly written. */
bool hex_decode(struct str digits, unsigned char *out, size_t len);

/* Returns true when s is exactly `digits` lower-case hex digits. */
bool hex_is_lower(struct str s, size_t digits);

#endif
