/*
 * SHA-1 (FIPS 180-4), streaming, with the processor's SHA instructions where it has them
 * (base/cpu.h) and plain C elsewhere. Content addresses only, never security by itself.
 */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { SHA1_SIZE = 20, SHA1_HEX = 40, SHA1_BLOCK = 64 };

/* No pointers inside: may be copied to save a state. */
struct sha1 {
    uint32_t state[5];
    uint64_t count_bytes;
    unsigned char block[SHA1_BLOCK];
};

/* Begin a message, and take its next `len` bytes. */
void sha1_init(struct sha1 *h);
void sha1_update(struct sha1 *h, const void *data, size_t len);

/* Writes the hash of all bytes; leaves h in an undefined state. */
void sha1_final(struct sha1 *h, unsigned char out[SHA1_SIZE]);

/* Writes the hash as 40 lower-case hex digits and a NUL; leaves h in an undefined state. */
void sha1_final_hex(struct sha1 *h, char out[SHA1_HEX + 1]);

/* Hashes `data` at once. */
void sha1_of(struct str data, unsigned char out[SHA1_SIZE]);

#endif
