/* The signature over a canonical text (PROTOCOL.md §3): Ed25519 over the 20 bytes of its SHA-1.
 * zone/identity keeps the keys. */
#ifndef PROTO_SIGNATURE_H
#define PROTO_SIGNATURE_H

#include "base/ed25519.h"
#include "base/str.h"

enum {
    SIGNATURE_CLIENT_ID_DIGITS = 2 * ED25519_PUBLIC, /* the public key in hex */
    SIGNATURE_DIGITS = 2 * ED25519_SIGNATURE
};

/* Writes the signature of the text by the key pair: hex digits and a NUL. */
void signature_make(const unsigned char pair[ED25519_PAIR], struct str canonical,
                    char signature[SIGNATURE_DIGITS + 1]);

/* Returns whether the client made that signature; false for malformed hex, too. */
bool signature_is_right(struct str client_id, struct str canonical, struct str signature);

#endif
