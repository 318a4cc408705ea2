/*
 * A message that comes in pieces, cut into the blocks of 64 bytes that SHA-1 and SHA-256 take
 * (FIPS 180-4, 5.2.1).
 */
#ifndef BASE_SHA_MESSAGE_H
#define BASE_SHA_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/sha_words.h"

/* No pointers inside. Begins as zeros. */
struct sha_message {
    uint64_t count_bytes;
    unsigned char block[SHA_WORDS_BLOCK]; /* the first count_bytes % SHA_WORDS_BLOCK are waiting */
};

/* Takes the next `len` bytes. Calls `compress` with the blocks that are whole now: first perhaps
 * with m->block, then perhaps with those in `data`. */
void sha_message_add(struct sha_message *m, const void *data, size_t len,
                     void (*compress)(void *owner, const unsigned char *blocks, size_t count),
                     void *owner);

#endif
