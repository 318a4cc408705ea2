/*
 * Fingerprints of blocks by a random key: whether bytes are those that this process has seen before
 * is found ten times as fast as by SHA-256. To change a block and keep its fingerprint, somebody
 * who knows neither would have to try some 2^96 changes. They are of use only in the process whose
 * memory has the key, and never leave it.
 *
 * It is NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999; RFC 4418, 5.2.2),
 * three times with a shifted key, over pieces of 8 KiB, whose results are hashed.
 */
#ifndef BASE_FINGERPRINT_H
#define BASE_FINGERPRINT_H

#include <stdint.h>

#include "base/str.h"

enum {
    FINGERPRINT_SIZE = 16,
    FINGERPRINT_PIECE = 8192,
    FINGERPRINT_TIMES = 3, /* each makes a collision 2^32 times as rare */
    FINGERPRINT_SHIFT = 8  /* words of the key, from one time to the next */
};

struct fingerprint_key {
    uint32_t words[FINGERPRINT_PIECE / 4 + (FINGERPRINT_TIMES - 1) * FINGERPRINT_SHIFT];
};

/* Draws a key. */
void fingerprint_draw(struct fingerprint_key *key);

/* Writes the fingerprint of `data`. */
void fingerprint_of(const struct fingerprint_key *key, struct str data,
                    unsigned char out[FINGERPRINT_SIZE]);

#endif
