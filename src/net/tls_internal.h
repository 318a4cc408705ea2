/* The shared part of tls.c, tls_peer.c, tls_setup.c and tls_arm.c, the only files that know
 * BearSSL's engine. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <bearssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "x509/cert_path.h"
#include "x509/trust.h"

/* A peer's whole Certificate message. */
enum { TLS_MAX_CHAIN_BYTES = 131072 };

/* Collects the peer's certificates for BearSSL and hands them to cert_path_verify. */
struct tls_peer {
    const br_x509_class *vtable; /* first: BearSSL casts */
    struct str host;
    const struct trust *trust;
    int64_t now_s;
    struct buf chain; /* DER, one after the other */
    size_t ends[CERT_PATH_MAX_SENT];
    size_t count;
    struct err failure; /* code ERR_NONE: none */
    br_x509_pkey key;   /* of the accepted leaf, borrowing from `chain` */
    unsigned usages;
    int64_t expires_s; /* of the accepted leaf; 0: none */
};

/* Begins a peer's check; `host` and `trust` stay borrowed. */
void tls_peer_init(struct tls_peer *peer, struct str host, const struct trust *trust,
                   int64_t now_s);
void tls_peer_deinit(struct tls_peer *peer);

/* Sets versions, suites (AES first where the CPU has it), algorithms, ALPN "http/1.1". SHA-1 is in
 * no signature. */
void tls_setup_client(br_ssl_client_context *client, bool offers_sha1_cbc);

/* Adds the hashes that records need and signatures may not use: after br_ssl_client_reset, which
 * writes the ClientHello and names in it every hash that the engine then has. */
void tls_setup_mac(br_ssl_client_context *client);

/* AES in counter mode and GHASH by ARM's instructions (tls_arm.c), only where tls_arm_is_usable. */
extern const br_block_ctr_class tls_arm_ctr;
void tls_arm_ghash(void *y, const void *h, const void *data, size_t len);
bool tls_arm_is_usable(void);

/* Makes the engine use these two where they are usable. */
void tls_arm_use(br_ssl_engine_context *engine);

/* Returns whether it is one of the suites of last resort. */
bool tls_suite_is_older(unsigned suite);

/* Returns the name for SNI (RFC 6066 §3: without a final dot) in `room`, or NULL for address
 * literals. */
const char *tls_server_name(const char *host, char room[256]);

/* How far a connection came. */
enum tls_stage { TLS_BEGUN, TLS_CERTIFIED /* the peer showed its certificate */, TLS_OPEN };

/* Puts words to one of BearSSL's error codes; `first` are the first bytes that came from the peer.
 * Returns -1. */
int tls_describe_error(int code, enum tls_stage stage, struct str first, struct err *e);

#endif
