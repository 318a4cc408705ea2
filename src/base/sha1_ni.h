/* SHA-1's compression function with the x86 SHA extensions; used by sha1.c alone. */
#ifndef BASE_SHA1_NI_H
#define BASE_SHA1_NI_H

#include <stddef.h>
#include <stdint.h>

/* Takes `count` blocks of 64 bytes into the state. Only where cpu_features has CPU_SHA. */
void sha1_ni_compress(uint32_t state[5], const unsigned char *blocks, size_t count);

#endif
