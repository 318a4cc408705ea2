#include "base/ed25519.h"

#include <sodium/crypto_sign_ed25519.h>

void ed25519_pair(const unsigned char seed[ED25519_SEED], unsigned char out[ED25519_PAIR])
{
    unsigned char public_key[ED25519_PUBLIC];

    crypto_sign_ed25519_seed_keypair(public_key, out, seed);
}

void ed25519_sign(const unsigned char pair[ED25519_PAIR], struct str message,
                  unsigned char out[ED25519_SIGNATURE])
{
    crypto_sign_ed25519_detached(out, NULL, (const unsigned char *)message.p, message.len, pair);
}

bool ed25519_verify(const unsigned char key[ED25519_PUBLIC], struct str message,
                    const unsigned char signature[ED25519_SIGNATURE])
{
    return crypto_sign_ed25519_verify_detached(signature, (const unsigned char *)message.p,
                                               message.len, key) == 0;
}
