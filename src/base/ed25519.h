/* Ed25519 (RFC 8032) signatures. The only owner of libsodium. */
#ifndef BASE_ED25519_H
#define BASE_ED25519_H

#include <stdbool.h>

#include "base/str.h"

enum { ED25519_SEED = 32, ED25519_PUBLIC = 32, ED25519_SIGNATURE = 64 };

/* The public key of a private seed (the 32 bytes in a PKCS#8 file). */
void ed25519_public(const unsigned char seed[ED25519_SEED], unsigned char out[ED25519_PUBLIC]);

void ed25519_sign(const unsigned char seed[ED25519_SEED], struct str message,
                  unsigned char out[ED25519_SIGNATURE]);

/* False also for malformed or small-order keys. */
bool ed25519_verify(const unsigned char key[ED25519_PUBLIC], struct str message,
                    const unsigned char signature[ED25519_SIGNATURE]);

#endif
