/*
 * SHA-256 (FIPS 180-4): of one message as it comes, and of many messages at once, whose rounds run
 * side by side in the lanes of vector registers (AVX-512: 16, AVX2: 8, SSE2 or NEON: 4; the SHA
 * instructions take two in turn). The fastest way on this processor is chosen at run time
 * (base/cpu.h).
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/sha_message.h"
#include "base/str.h"

enum { SHA256_SIZE = 32, SHA256_HEX = 64, SHA256_BLOCK = 64, SHA256_LANES = 16 };

/* No pointers inside: may be copied to save a state. */
struct sha256 {
    uint32_t state[8];
    struct sha_message message;
};

/* Begin a message, and take its next `len` bytes. */
void sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *data, size_t len);

/* Writes the hash of all bytes; leaves h in an undefined state. */
void sha256_final(struct sha256 *h, unsigned char out[SHA256_SIZE]);

/* Hashes `data` at once. */
void sha256_of(struct str data, unsigned char out[SHA256_SIZE]);

/* Hashes `count` messages, each into its own out[i]. They may differ in length; 16 or more of one
 * length are fastest. */
void sha256_of_many(const struct str *messages, size_t count, unsigned char (*out)[SHA256_SIZE]);

/* Returns how many messages of one length are best hashed at once: 1 to SHA256_LANES. */
size_t sha256_lanes(void);

#endif
