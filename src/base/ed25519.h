/* Ed25519 (RFC 8032) signatures. The only owner of libsodium. */
#ifndef BASE_ED25519_H
#define BASE_ED25519_H

#include <stdbool.h>

#include "base/str.h"

enum { ED25519_SEED = 32, ED25519_PUBLIC = 32, ED25519_PAIR = 64, ED25519_SIGNATURE = 64 };

/* Writes the private seed (the 32 bytes of a PKCS#8 file) and its public key behind it. All of it
 * is secret. */
void ed25519_pair(const unsigned char seed[ED25519_SEED], unsigned char out[ED25519_PAIR]);

/* Signs a message. `pair` is from ed25519_pair: a signature with another public key would give the
 * seed away. */
void ed25519_sign(const unsigned char pair[ED25519_PAIR], struct str message,
                  unsigned char out[ED25519_SIGNATURE]);

/* Returns false for a wrong signature and for malformed or small-order keys. */
bool ed25519_verify(const unsigned char key[ED25519_PUBLIC], struct str message,
                    const unsigned char signature[ED25519_SIGNATURE]);

#endif
