/*
 * SHA-1 (FIPS 180-4): of one message as it comes, and of several messages side by side, in the
 * lanes of vector registers (AVX-512: 16, AVX2: 8, SSE2 or NEON: 4). The fastest way on this
 * processor is chosen at run time (base/cpu.h). Content addresses only, never security by itself.
 */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#include "base/sha_message.h"
#include "base/str.h"

enum { SHA1_SIZE = 20, SHA1_HEX = 40, SHA1_BLOCK = 64, SHA1_LANES = 16 };

/* No pointers inside: may be copied to save a state. */
struct sha1 {
    uint32_t state[5];
    struct sha_message message;
};

/* Begin a message, and take its next `len` bytes. */
void sha1_init(struct sha1 *h);
void sha1_update(struct sha1 *h, const void *data, size_t len);

/* Takes the next bytes of `count` different messages, data[i] of h[i]. sha1_lanes() of one length
 * are fastest. */
void sha1_update_many(struct sha1 *const h[], const struct str data[], size_t count);

/* Returns how many messages are best hashed at once: 1 to SHA1_LANES. */
size_t sha1_lanes(void);

/* Writes the hash of all bytes; leaves h in an undefined state. */
void sha1_final(struct sha1 *h, unsigned char out[SHA1_SIZE]);

/* Writes the hash as 40 lower-case hex digits and a NUL; leaves h in an undefined state. */
void sha1_final_hex(struct sha1 *h, char out[SHA1_HEX + 1]);

/* Hashes `data` at once. */
void sha1_of(struct str data, unsigned char out[SHA1_SIZE]);

#endif
