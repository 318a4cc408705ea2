/* The client's Ed25519 key pair (PROTOCOL.md §2) and its signatures (§3). */
#ifndef ZONE_IDENTITY_H
#define ZONE_IDENTITY_H

#include "base/buf.h"
#include "base/ed25519.h"
#include "base/err.h"
#include "base/str.h"

enum {
    IDENTITY_CLIENT_ID_DIGITS = 2 * ED25519_PUBLIC, /* the public key in hex */
    IDENTITY_SIGNATURE_DIGITS = 2 * ED25519_SIGNATURE
};

struct identity {
    unsigned char pair[ED25519_PAIR];
    char client_id[IDENTITY_CLIENT_ID_DIGITS + 1];
};

/* From KACHERY_CLOUD_CLIENT_ID and KACHERY_CLOUD_PRIVATE_KEY, else <key_dir>/private.pem and
 * public.pem. ERR_NOT_FOUND when there are no keys (says: run `kachery-resource register`). A
 * public key that does not belong to the private one is an error. */
int identity_load(struct identity *id, const char *key_dir, struct err *e) ERR_CHECKED;

/* Loads, or creates the two files (public first; private 0600; never overwrites). */
int identity_create(struct identity *id, const char *key_dir, struct err *e) ERR_CHECKED;

/* SHA-1 of the canonical text, Ed25519 over its 20 bytes, 128 hex digits and a NUL. */
void identity_sign(const struct identity *id, struct str canonical,
                   char signature[IDENTITY_SIGNATURE_DIGITS + 1]);

/* Verifies such a signature; false also for malformed hex. */
bool identity_verify(struct str client_id, struct str canonical, struct str signature);

void identity_wipe(struct identity *id);

#endif
