#include "base/ed25519.h"

#include <string.h>

#include <sodium/crypto_sign_ed25519.h>

/* libsodium signs with seed and public key together. */
static void expand(const unsigned char seed[ED25519_SEED],
                   unsigned char secret[crypto_sign_ed25519_SECRETKEYBYTES],
                   unsigned char public[ED25519_PUBLIC])
{
    crypto_sign_ed25519_seed_keypair(public, secret, seed);
}

void ed25519_public(const unsigned char seed[ED25519_SEED], unsigned char out[ED25519_PUBLIC])
{
    unsigned char secret[crypto_sign_ed25519_SECRETKEYBYTES];

    expand(seed, secret, out);
    explicit_bzero(secret, sizeof secret);
}

void ed25519_sign(const unsigned char seed[ED25519_SEED], struct str message,
                  unsigned char out[ED25519_SIGNATURE])
{
    unsigned char secret[crypto_sign_ed25519_SECRETKEYBYTES], public[ED25519_PUBLIC];

    expand(seed, secret, public);
    crypto_sign_ed25519_detached(out, NULL, (const unsigned char *)message.p, message.len, secret);
    explicit_bzero(secret, sizeof secret);
}

bool ed25519_verify(const unsigned char key[ED25519_PUBLIC], struct str message,
                    const unsigned char signature[ED25519_SIGNATURE])
{
    return crypto_sign_ed25519_verify_detached(signature, (const unsigned char *)message.p,
                                               message.len, key) == 0;
}
