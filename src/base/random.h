/* Unpredictable bytes from the kernel. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills out[len] from getrandom(2), or /dev/urandom on kernels before 3.17. Ends the process when
 * neither works: nothing safe can be done without. */
void random_bytes(void *out, size_t len);

/* Returns a number in [0, below), for jitter and names; `below` is above 0. */
uint64_t random_below(uint64_t below);

/* Writes `digits` random lower-case hex digits (even) and a NUL to out[digits + 1]. */
void random_hex(char *out, size_t digits);

#endif
