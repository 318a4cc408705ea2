/*
 * From a peer's certificates to a trusted root: finds and validates a path (RFC 5280 §6), whatever
 * the order in which they were sent, with cross-signed alternatives.
 */
#ifndef X509_CERT_PATH_H
#define X509_CERT_PATH_H

#include "x509/cert.h"
#include "x509/trust.h"

enum {
    CERT_PATH_MAX_SENT = 64,       /* certificates that a peer may send */
    CERT_PATH_MAX_LENGTH = 10,     /* of a path, without the root */
    CERT_PATH_MAX_SIGNATURES = 100 /* checked for one peer */
};

/*
 * Verifies the peer's certificates `sent`, as they came; the first is its own. Returns 0 when a
 * path from it to one of `trust`'s roots holds at `now_s` (seconds since the epoch) for a TLS
 * server called `host`; *leaf is then the first one, decoded (borrowing from sent[0]). -1
 * ERR_REFUSED with the most telling cause: expired since when, not yet valid until when, not for
 * this host (and which it is for), unknown issuer (and which), weak key or signature, wrong usage,
 * a CA that is none, name constraints; ERR_PROTOCOL for malformed ones.
 */
int cert_path_verify(const struct str *sent, size_t count, const struct trust *trust,
                     struct str host, int64_t now_s, struct cert *leaf, struct err *e);

#endif
