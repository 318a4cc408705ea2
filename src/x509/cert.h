/*
 * One X.509 certificate (RFC 5280), decoded into borrowed slices, and the check of its signature.
 * Judges nothing beyond its own form: paths are cert_path.h's, names cert_name.h's.
 */
#ifndef X509_CERT_H
#define X509_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { CERT_MAX_BYTES = 65536, CERT_MIN_RSA_BITS = 2048, CERT_MAX_RSA_BITS = 4096 };

enum cert_key_kind { CERT_KEY_OTHER, CERT_KEY_RSA, CERT_KEY_P256, CERT_KEY_P384, CERT_KEY_P521 };

enum cert_signature {
    CERT_SIGNATURE_OTHER,
    CERT_SIGNATURE_WEAK, /* MD5, SHA-1 */
    CERT_SIGNATURE_RSA_SHA256,
    CERT_SIGNATURE_RSA_SHA384,
    CERT_SIGNATURE_RSA_SHA512,
    CERT_SIGNATURE_ECDSA_SHA256,
    CERT_SIGNATURE_ECDSA_SHA384,
    CERT_SIGNATURE_ECDSA_SHA512
};

/* Bits of the key usage extension, in the order of RFC 5280 §4.2.1.3. */
enum cert_usage {
    CERT_USAGE_DIGITAL_SIGNATURE = 1 << 0,
    CERT_USAGE_KEY_ENCIPHERMENT = 1 << 2,
    CERT_USAGE_KEY_AGREEMENT = 1 << 4,
    CERT_USAGE_CERT_SIGN = 1 << 5
};

/* Every slice is borrowed from the DER text that was parsed. */
struct cert {
    struct str der, tbs, issuer, subject; /* the names as whole SEQUENCEs */
    int64_t not_before_s, not_after_s;    /* since the epoch */
    unsigned version;                     /* 1 to 3 */
    enum cert_key_kind key_kind;
    struct str rsa_modulus, rsa_exponent; /* big-endian, no leading zeros */
    struct str ec_point;                  /* uncompressed */
    enum cert_signature signature_kind;
    struct str signature;
    bool has_basic_constraints, is_ca;
    int path_length; /* -1: no limit */
    bool has_key_usage;
    unsigned key_usage; /* enum cert_usage */
    bool has_extended_usage, allows_server_auth, allows_any_usage;
    bool has_alt_names;
    struct str alt_names;   /* content of the GeneralNames SEQUENCE */
    bool has_constraints;
    struct str constraints; /* content of the NameConstraints SEQUENCE */
    bool has_unknown_critical;
};

/* Decodes a certificate. ERR_PROTOCOL names the fault; *out is then unchanged. */
int cert_parse(struct cert *out, struct str der, struct err *e);

/* Finds only the subject (a whole SEQUENCE): for indexing thousands of roots. */
bool cert_find_subject(struct str der, struct str *subject);

/* Returns 0 when the issuer's key made the certificate's signature; otherwise -1: ERR_CHANGED for a
 * wrong signature, else ERR_REFUSED with the cause: weak or unknown algorithm, weak key. */
int cert_check_signature(const struct cert *cert, const struct cert *issuer, struct err *e);

/* Returns 0 for a key that is good enough: RSA of 2048 to 4096 bits with an odd exponent from 3 on,
 * P-256, P-384, P-521. */
int cert_check_key(const struct cert *cert, struct err *e);

#endif
