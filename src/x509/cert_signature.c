/* cert.h's checks of keys and signatures, with BearSSL's hashes, RSA and ECDSA. */
#include <bearssl.h>

#include "x509/cert.h"

enum { MAX_HASH = 64 };

static const struct {
    enum cert_signature kind;
    enum cert_key_kind first_key, last_key; /* of the issuer */
    const br_hash_class *hash;
    const unsigned char *rsa_oid; /* length-prefixed, as BearSSL wants it */
} algorithms[] = {
    {CERT_SIGNATURE_RSA_SHA256, CERT_KEY_RSA, CERT_KEY_RSA, &br_sha256_vtable, BR_HASH_OID_SHA256},
    {CERT_SIGNATURE_RSA_SHA384, CERT_KEY_RSA, CERT_KEY_RSA, &br_sha384_vtable, BR_HASH_OID_SHA384},
    {CERT_SIGNATURE_RSA_SHA512, CERT_KEY_RSA, CERT_KEY_RSA, &br_sha512_vtable, BR_HASH_OID_SHA512},
    {CERT_SIGNATURE_ECDSA_SHA256, CERT_KEY_P256, CERT_KEY_P521, &br_sha256_vtable, NULL},
    {CERT_SIGNATURE_ECDSA_SHA384, CERT_KEY_P256, CERT_KEY_P521, &br_sha384_vtable, NULL},
    {CERT_SIGNATURE_ECDSA_SHA512, CERT_KEY_P256, CERT_KEY_P521, &br_sha512_vtable, NULL},
};

static size_t hash_data(const br_hash_class *hash, struct str data, unsigned char out[MAX_HASH])
{
    br_hash_compat_context context;

    hash->init(&context.vtable);
    hash->update(&context.vtable, data.p, data.len);
    hash->out(&context.vtable, out);
    return (hash->desc >> BR_HASHDESC_OUT_OFF) & BR_HASHDESC_OUT_MASK;
}

static bool is_rsa_right(const struct cert *cert, const struct cert *issuer,
                         const unsigned char *oid, const unsigned char *hash, size_t hash_len)
{
    unsigned char found[MAX_HASH];
    br_rsa_public_key key = {(unsigned char *)issuer->rsa_modulus.p, issuer->rsa_modulus.len,
                             (unsigned char *)issuer->rsa_exponent.p, issuer->rsa_exponent.len};

    return br_rsa_pkcs1_vrfy_get_default()((const unsigned char *)cert->signature.p,
                                           cert->signature.len, oid, hash_len, &key, found) == 1 &&
           str_equal((struct str){(const char *)found, hash_len},
                     (struct str){(const char *)hash, hash_len});
}

static bool is_ecdsa_right(const struct cert *cert, const struct cert *issuer,
                           const unsigned char *hash, size_t hash_len)
{
    static const int curves[] = {[CERT_KEY_P256] = BR_EC_secp256r1,
                                 [CERT_KEY_P384] = BR_EC_secp384r1,
                                 [CERT_KEY_P521] = BR_EC_secp521r1};
    br_ec_public_key key = {curves[issuer->key_kind], (unsigned char *)issuer->ec_point.p,
                            issuer->ec_point.len};

    return br_ecdsa_vrfy_asn1_get_default()(br_ec_get_default(), hash, hash_len, &key,
                                            cert->signature.p, cert->signature.len) == 1;
}

static size_t bit_length(struct str magnitude)
{
    size_t bits = magnitude.len * 8;

    for (unsigned char top = 0x80; top != 0 && !((unsigned char)magnitude.p[0] & top); top >>= 1)
        bits--;
    return bits;
}

int cert_check_key(const struct cert *cert, struct err *e)
{
    if (cert->key_kind == CERT_KEY_OTHER)
        return err_set(e, ERR_REFUSED,
                       "public key of an unsupported kind (RSA, P-256, P-384 and P-521 are known)");
    if (cert->key_kind != CERT_KEY_RSA)
        return 0;
    struct str exponent = cert->rsa_exponent;
    if ((exponent.p[exponent.len - 1] & 1) == 0 || (exponent.len == 1 && exponent.p[0] == 1))
        return err_set(e, ERR_REFUSED, "weak key: RSA with an even exponent or with 1");
    size_t bits = bit_length(cert->rsa_modulus);
    if (bits < CERT_MIN_RSA_BITS)
        return err_set(e, ERR_REFUSED, "weak key: RSA with %zu bits (at least %d)", bits,
                       CERT_MIN_RSA_BITS);
    if (bits > CERT_MAX_RSA_BITS)
        return err_set(e, ERR_REFUSED, "key too large: RSA with %zu bits (at most %d)", bits,
                       CERT_MAX_RSA_BITS);
    return 0;
}

int cert_check_signature(const struct cert *cert, const struct cert *issuer, struct err *e)
{
    unsigned char hash[MAX_HASH];
    bool is_right = false;
    size_t i = 0, count = sizeof algorithms / sizeof *algorithms;

    if (cert->signature_kind == CERT_SIGNATURE_WEAK)
        return err_set(e, ERR_REFUSED, "weak signature: made with MD5 or SHA-1");
    while (i < count && algorithms[i].kind != cert->signature_kind)
        i++;
    if (i == count)
        return err_set(e, ERR_REFUSED,
                       "signature algorithm is not supported (RSA PKCS#1 and "
                       "ECDSA with SHA-256, SHA-384 or SHA-512 are)");
    if (cert_check_key(issuer, e) != 0)
        return err_wrap(e, "issuer");
    if (issuer->key_kind >= algorithms[i].first_key && issuer->key_kind <= algorithms[i].last_key) {
        size_t len = hash_data(algorithms[i].hash, cert->tbs, hash);
        is_right = algorithms[i].rsa_oid != NULL
                       ? is_rsa_right(cert, issuer, algorithms[i].rsa_oid, hash, len)
                       : is_ecdsa_right(cert, issuer, hash, len);
    }
    return is_right ? 0 : err_set(e, ERR_CHANGED, "signature is wrong");
}
