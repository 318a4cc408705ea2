#include "proto/signature.h"

#include "base/hex.h"
#include "base/sha1.h"

void signature_make(const unsigned char pair[ED25519_PAIR], struct str canonical,
                    char signature[SIGNATURE_DIGITS + 1])
{
    unsigned char digest[SHA1_SIZE], raw[ED25519_SIGNATURE];

    sha1_of(canonical, digest);
    ed25519_sign(pair, (struct str){(char *)digest, SHA1_SIZE}, raw);
    hex_encode(raw, ED25519_SIGNATURE, signature);
}

bool signature_is_right(struct str client_id, struct str canonical, struct str signature)
{
    unsigned char digest[SHA1_SIZE], raw[ED25519_SIGNATURE], key[ED25519_PUBLIC];

    if (!hex_decode(client_id, key, ED25519_PUBLIC) ||
        !hex_decode(signature, raw, ED25519_SIGNATURE))
        return false;
    sha1_of(canonical, digest);
    return ed25519_verify(key, (struct str){(char *)digest, SHA1_SIZE}, raw);
}
