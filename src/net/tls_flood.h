/*
 * Watches the records that a TLS peer sends, so that those which move nothing (warning alerts,
 * empty records, requests to renegotiate) end after a few dozen. Looks at lengths and types alone:
 * keys, and what is valid, are the engine's.
 */
#ifndef NET_TLS_FLOOD_H
#define NET_TLS_FLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    TLS_FLOOD_MAX_IDLE = 48,    /* records (warnings, while they can be counted) in a row */
    TLS_FLOOD_MAX_MESSAGES = 32 /* of a handshake: a server needs eight */
};

/* All zeros at the start of a connection. */
struct tls_flood {
    unsigned char head[5];
    size_t head_len;
    size_t record_left;  /* bytes of the record whose head is complete */
    bool is_encrypted;   /* since the peer's ChangeCipherSpec */
    size_t message_head; /* bytes of a handshake message's head that were seen */
    uint32_t message_left;
    unsigned idle, messages;
};

/* Looks at ciphertext as it comes from the peer, in pieces of any size. -1: ERR_PROTOCOL, it is
 * enough; the next record is refused too. */
int tls_flood_note(struct tls_flood *f, struct str data, struct err *e);

/* Begins to count anew, as the connection got further: application data came, or the handshake is
 * complete. */
void tls_flood_reset(struct tls_flood *f);

#endif
