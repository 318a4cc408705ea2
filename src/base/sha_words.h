/*
 * The parts that SHA-1 and SHA-256 share (FIPS 180-4): words of 32 bits, the highest byte first,
 * and the padding of a message. They are inline because the hashes read each word with them.
 */
#ifndef BASE_SHA_WORDS_H
#define BASE_SHA_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SHA_WORDS_BLOCK = 64 }; /* bytes in a block of either hash */

/* Returns the word in p[0..3], which needs no alignment. */
static inline uint32_t sha_words_get(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Writes `value` to out[0..3], which needs no alignment. */
static inline void sha_words_put(unsigned char *out, uint32_t value)
{
    out[0] = (unsigned char)(value >> 24);
    out[1] = (unsigned char)(value >> 16);
    out[2] = (unsigned char)(value >> 8);
    out[3] = (unsigned char)value;
}

/* Writes the padded end (5.1.1) of a message of `len` bytes to `tail` and returns its number of
 * blocks, 1 or 2. `rest` has the len % SHA_WORDS_BLOCK bytes behind the message's whole blocks; it
 * may be NULL if there are none. */
static inline size_t sha_words_pad(unsigned char tail[2 * SHA_WORDS_BLOCK],
                                   const unsigned char *rest, uint64_t len)
{
    size_t have = len % SHA_WORDS_BLOCK;
    size_t blocks = have < SHA_WORDS_BLOCK - 8 ? 1 : 2;

    memset(tail, 0, 2 * SHA_WORDS_BLOCK);
    if (have > 0)
        memcpy(tail, rest, have);
    tail[have] = 0x80;
    sha_words_put(tail + blocks * SHA_WORDS_BLOCK - 8, (uint32_t)(len >> 29));
    sha_words_put(tail + blocks * SHA_WORDS_BLOCK - 4, (uint32_t)(len << 3));
    return blocks;
}

#endif
