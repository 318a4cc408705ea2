/* The client's Ed25519 key pair (PROTOCOL.md §2); proto/signature signs with it. */
#ifndef ZONE_IDENTITY_H
#define ZONE_IDENTITY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/signature.h"

struct identity {
    unsigned char pair[ED25519_PAIR];
    char client_id[SIGNATURE_CLIENT_ID_DIGITS + 1];
};

/* Loads the identity from KACHERY_CLOUD_CLIENT_ID and KACHERY_CLOUD_PRIVATE_KEY, else
 * <key_dir>/private.pem and public.pem. ERR_NOT_FOUND when there are no keys (says: run
 * `kachery-resource register`). A public key that does not belong to the private one is an
 * error. */
int identity_load(struct identity *id, const char *key_dir, struct err *e) ERR_CHECKED;

/* Returns whether the keys, with which a daemon of this store was started, are there no more: a
 * store whose disk is not mounted is no empty store. */
bool identity_is_away(const char *key_dir);

/* Loads, or creates the two files (public first; private 0600; never overwrites). */
int identity_create(struct identity *id, const char *key_dir, struct err *e) ERR_CHECKED;

/* Overwrites the keys. */
void identity_wipe(struct identity *id);

#endif
