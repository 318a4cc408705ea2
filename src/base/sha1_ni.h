/* SHA-1's compression function with the x86 SHA extensions; used by sha1.c alone. */
#ifndef BASE_SHA1_NI_H
#define BASE_SHA1_NI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when this CPU has the instructions that sha1_ni_compress uses. */
bool sha1_ni_is_present(void);

/* Takes `count` blocks of 64 bytes into the state. Only where sha1_ni_is_present. */
void sha1_ni_compress(uint32_t state[5], const unsigned char *blocks, size_t count);

#endif
