#include "x509/cert.h"

#include <limits.h>

#include "x509/der.h"

/* Object identifiers' contents. */
#define OID_RSA         STR("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
#define OID_EC          STR("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_EXTENSION   STR("\x55\x1d")
#define OID_ANY_USAGE   STR("\x55\x1d\x25\x00")
#define OID_SERVER_AUTH STR("\x2b\x06\x01\x05\x05\x07\x03\x01")
#define OID_ISSUER_INFO STR("\x2b\x06\x01\x05\x05\x07\x01\x01") /* authorityInfoAccess */

/* Last byte of id-ce (2.5.29.n). */
enum {
    EXTENSION_KEY_USAGE = 15,
    EXTENSION_ALT_NAME = 17,
    EXTENSION_ISSUER_ALT_NAME = 18,
    EXTENSION_BASIC_CONSTRAINTS = 19,
    EXTENSION_NAME_CONSTRAINTS = 30,
    EXTENSION_CRL_POINTS = 31,
    EXTENSION_POLICIES = 32,
    EXTENSION_POLICY_MAPPINGS = 33,
    EXTENSION_POLICY_CONSTRAINTS = 36,
    EXTENSION_EXTENDED_USAGE = 37,
    EXTENSION_FRESHEST_CRL = 46,
    EXTENSION_INHIBIT_ANY = 54
};

static const struct {
    struct str oid;
    enum cert_signature kind;
} signatures[] = {
    {{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", 9}, CERT_SIGNATURE_WEAK}, /* md5WithRSA */
    {{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", 9}, CERT_SIGNATURE_WEAK}, /* sha1WithRSA */
    {{"\x2a\x86\x48\xce\x3d\x04\x01", 7}, CERT_SIGNATURE_WEAK},         /* ecdsa-with-SHA1 */
    {{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", 9}, CERT_SIGNATURE_RSA_SHA256},
    {{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", 9}, CERT_SIGNATURE_RSA_SHA384},
    {{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", 9}, CERT_SIGNATURE_RSA_SHA512},
    {{"\x2a\x86\x48\xce\x3d\x04\x03\x02", 8}, CERT_SIGNATURE_ECDSA_SHA256},
    {{"\x2a\x86\x48\xce\x3d\x04\x03\x03", 8}, CERT_SIGNATURE_ECDSA_SHA384},
    {{"\x2a\x86\x48\xce\x3d\x04\x03\x04", 8}, CERT_SIGNATURE_ECDSA_SHA512},
};

static const struct {
    struct str oid;
    enum cert_key_kind kind;
    size_t point_len;
} curves[] = {
    {{"\x2a\x86\x48\xce\x3d\x03\x01\x07", 8}, CERT_KEY_P256, 65},
    {{"\x2b\x81\x04\x00\x22", 5}, CERT_KEY_P384, 97},
    {{"\x2b\x81\x04\x00\x23", 5}, CERT_KEY_P521, 133},
};

static int refuse_malformed(struct err *e, const char *what)
{
    return err_set(e, ERR_PROTOCOL, "malformed certificate: %s", what);
}

static bool parse_signature_kind(struct str algorithm, enum cert_signature *out)
{
    struct str content, oid;

    if (!der_take(&algorithm, DER_SEQUENCE, &content) || !der_take(&content, DER_OID, &oid))
        return false;
    *out = CERT_SIGNATURE_OTHER;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (str_equal(signatures[i].oid, oid))
            *out = signatures[i].kind;
    return true;
}

static bool parse_rsa_key(struct cert *c, struct str bits)
{
    struct str key, n, e;

    if (!der_take(&bits, DER_SEQUENCE, &key) || bits.len > 0 || !der_take(&key, DER_INTEGER, &n) ||
        !der_take(&key, DER_INTEGER, &e) || key.len > 0)
        return false;
    c->key_kind = CERT_KEY_RSA;
    return der_magnitude(n, &c->rsa_modulus) && der_magnitude(e, &c->rsa_exponent);
}

static bool parse_ec_key(struct cert *c, struct str parameters, struct str bits)
{
    struct str curve;

    if (!der_take(&parameters, DER_OID, &curve))
        return true; /* explicit parameters: a key of a kind that we do not use */
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        if (!str_equal(curves[i].oid, curve))
            continue;
        c->key_kind = curves[i].kind;
        c->ec_point = bits;
        return bits.len == curves[i].point_len && bits.p[0] == 4;
    }
    return true;
}

static bool parse_key(struct cert *c, struct str *in)
{
    struct str info, algorithm, oid, bits, key;

    if (!der_take(in, DER_SEQUENCE, &info) || !der_take(&info, DER_SEQUENCE, &algorithm) ||
        !der_take(&algorithm, DER_OID, &oid) || !der_take(&info, DER_BIT_STRING, &bits) ||
        info.len > 0 || !der_bytes_of_bits(bits, &key))
        return false;
    if (str_equal(oid, OID_RSA))
        return parse_rsa_key(c, key);
    if (str_equal(oid, OID_EC))
        return parse_ec_key(c, algorithm, key);
    c->key_kind = CERT_KEY_OTHER;
    return true;
}

static bool parse_validity(struct cert *c, struct str *in)
{
    struct str validity;
    struct der_item time;

    return der_take(in, DER_SEQUENCE, &validity) && der_next(&validity, &time) &&
           der_time(&time, &c->not_before_s) && der_next(&validity, &time) &&
           der_time(&time, &c->not_after_s) && validity.len == 0;
}

static bool parse_basic_constraints(struct cert *c, struct str value)
{
    struct str content, item;
    uint64_t length;

    if (!der_take(&value, DER_SEQUENCE, &content) || value.len > 0)
        return false;
    c->has_basic_constraints = true;
    if (der_take(&content, DER_BOOLEAN, &item) && !der_boolean(item, &c->is_ca))
        return false;
    if (der_take(&content, DER_INTEGER, &item)) {
        if (!der_uint(item, UINT32_MAX, &length))
            return false;
        c->path_length = length < INT_MAX ? (int)length : INT_MAX;
    }
    return content.len == 0;
}

static bool parse_key_usage(struct cert *c, struct str value)
{
    struct str bits;

    if (!der_take(&value, DER_BIT_STRING, &bits) || value.len > 0 || bits.len < 1 || bits.len > 3)
        return false;
    c->has_key_usage = true;
    for (size_t i = 0; bits.len > 1 && i < 8; i++)
        if (bits.p[1] & 0x80 >> i)
            c->key_usage |= 1u << i;
    return true;
}

static bool parse_extended_usage(struct cert *c, struct str value)
{
    struct str list, oid;

    if (!der_take(&value, DER_SEQUENCE, &list) || value.len > 0 || list.len == 0)
        return false;
    c->has_extended_usage = true;
    while (list.len > 0) {
        if (!der_take(&list, DER_OID, &oid))
            return false;
        c->allows_server_auth |= str_equal(oid, OID_SERVER_AUTH);
        c->allows_any_usage |= str_equal(oid, OID_ANY_USAGE);
    }
    return true;
}

/* A SEQUENCE of one or more items. */
static bool parse_list(struct str value, struct str *list)
{
    struct der_item item;
    struct str rest;

    if (!der_take(&value, DER_SEQUENCE, list) || value.len > 0 || list->len == 0)
        return false;
    for (rest = *list; rest.len > 0;)
        if (!der_next(&rest, &item))
            return false;
    return true;
}

static bool parse_alt_names(struct cert *c, struct str value)
{
    c->has_alt_names = true;
    return parse_list(value, &c->alt_names);
}

static bool parse_name_constraints(struct cert *c, struct str value)
{
    c->has_constraints = true;
    return parse_list(value, &c->constraints);
}

/* Policies are not our concern: nothing is required of them; their extensions may be critical. */
static bool parse_extension(struct cert *c, struct str oid, bool is_critical, struct str value)
{
    int number = -1;

    if (str_equal(oid, OID_ISSUER_INFO) && !parse_list(value, &value))
        return false;
    if (oid.len == 3 && str_starts_with(oid, OID_EXTENSION))
        number = (unsigned char)oid.p[2];
    switch (number) {
    case EXTENSION_BASIC_CONSTRAINTS: return parse_basic_constraints(c, value);
    case EXTENSION_KEY_USAGE: return parse_key_usage(c, value);
    case EXTENSION_EXTENDED_USAGE: return parse_extended_usage(c, value);
    case EXTENSION_ALT_NAME: return parse_alt_names(c, value);
    case EXTENSION_NAME_CONSTRAINTS: return parse_name_constraints(c, value);
    case EXTENSION_POLICIES:
    case EXTENSION_POLICY_MAPPINGS:
    case EXTENSION_POLICY_CONSTRAINTS:
    case EXTENSION_INHIBIT_ANY:
    case EXTENSION_CRL_POINTS:
    case EXTENSION_FRESHEST_CRL:
    case EXTENSION_ISSUER_ALT_NAME: return true;
    default: c->has_unknown_critical |= is_critical; return true;
    }
}

/* RFC 5280 §4.2: no extension may stand twice. */
static bool is_repeated(struct str earlier, struct str oid, size_t count)
{
    struct str extension, other;

    for (size_t i = 0; i < count; i++)
        if (der_take(&earlier, DER_SEQUENCE, &extension) && der_take(&extension, DER_OID, &other) &&
            str_equal(other, oid))
            return true;
    return false;
}

static bool parse_extensions(struct cert *c, struct str list)
{
    struct str all = list, extension, oid, flag, value;

    for (size_t count = 0; list.len > 0; count++) {
        bool is_critical = false;
        if (count >= 64 || !der_take(&list, DER_SEQUENCE, &extension) ||
            !der_take(&extension, DER_OID, &oid) || is_repeated(all, oid, count))
            return false;
        if (der_take(&extension, DER_BOOLEAN, &flag) && !der_boolean(flag, &is_critical))
            return false;
        if (!der_take(&extension, DER_OCTET_STRING, &value) || extension.len > 0 ||
            !parse_extension(c, oid, is_critical, value))
            return false;
    }
    return true;
}

static bool parse_cert_version(struct cert *c, struct str *in)
{
    struct str tagged, number;
    uint64_t version = 0;

    if (der_take(in, DER_CONTEXT_CONSTRUCTED + 0, &tagged) &&
        (!der_take(&tagged, DER_INTEGER, &number) || tagged.len > 0 ||
         !der_uint(number, 2, &version)))
        return false;
    c->version = (unsigned)version + 1;
    return true;
}

/* The TBSCertificate's content, RFC 5280 §4.1. *inner is its signature algorithm. */
static int parse_tbs(struct cert *c, struct str in, struct str *inner, struct err *e)
{
    struct str tagged, list;

    if (!parse_cert_version(c, &in) || !der_take(&in, DER_INTEGER, NULL) ||
        !der_take_whole(&in, DER_SEQUENCE, inner))
        return refuse_malformed(e, "version, serial number or algorithm");
    if (!der_take_whole(&in, DER_SEQUENCE, &c->issuer) || !parse_validity(c, &in) ||
        !der_take_whole(&in, DER_SEQUENCE, &c->subject))
        return refuse_malformed(e, "issuer, validity or subject");
    if (!parse_key(c, &in))
        return refuse_malformed(e, "public key");
    der_take(&in, DER_CONTEXT + 1, NULL);
    der_take(&in, DER_CONTEXT + 2, NULL);
    if (der_take(&in, DER_CONTEXT_CONSTRUCTED + 3, &tagged)) {
        if (c->version != 3 || !der_take(&tagged, DER_SEQUENCE, &list) || tagged.len > 0 ||
            list.len == 0 || !parse_extensions(c, list))
            return refuse_malformed(e, "extensions");
    }
    return in.len == 0 ? 0 : refuse_malformed(e, "trailing bytes");
}

int cert_parse(struct cert *out, struct str der, struct err *e)
{
    struct cert c = {.der = der, .path_length = -1};
    struct str in = der, certificate, tbs, inner, outer, bits;

    if (der.len > CERT_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE, "certificate of %zu bytes (at most %d)", der.len,
                       CERT_MAX_BYTES);
    if (!der_take(&in, DER_SEQUENCE, &certificate) || in.len > 0 ||
        !der_take_whole(&certificate, DER_SEQUENCE, &c.tbs) ||
        !der_take_whole(&certificate, DER_SEQUENCE, &outer) ||
        !der_take(&certificate, DER_BIT_STRING, &bits) || certificate.len > 0 ||
        !der_bytes_of_bits(bits, &c.signature))
        return refuse_malformed(e, "not a certificate");
    struct str whole = c.tbs;
    der_take(&whole, DER_SEQUENCE, &tbs);
    if (parse_tbs(&c, tbs, &inner, e) != 0)
        return -1;
    if (!str_equal(inner, outer) || !parse_signature_kind(outer, &c.signature_kind))
        return refuse_malformed(e, "its two signature algorithms differ");
    *out = c;
    return 0;
}

bool cert_find_subject(struct str der, struct str *subject)
{
    struct str certificate, in, skipped;

    if (!der_take(&der, DER_SEQUENCE, &certificate) || !der_take(&certificate, DER_SEQUENCE, &in))
        return false;
    der_take(&in, DER_CONTEXT_CONSTRUCTED + 0, NULL);
    return der_take(&in, DER_INTEGER, NULL) && der_take(&in, DER_SEQUENCE, NULL) &&
           der_take_whole(&in, DER_SEQUENCE, &skipped) && der_take(&in, DER_SEQUENCE, NULL) &&
           der_take_whole(&in, DER_SEQUENCE, subject);
}
