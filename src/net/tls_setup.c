/* The choice of algorithms, and words for BearSSL's codes. */
#include <string.h>

#include "net/tls_internal.h"
#include "proto/addr.h"

/* In our order of preference, but for the first two pairs, which change places without AES in the
 * CPU. */
#define AES128_SUITES                                                                              \
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
#define CHACHA_SUITES                                                                              \
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
#define OTHER_SUITES                                                                               \
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,          \
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_CCM, BR_TLS_ECDHE_ECDSA_WITH_AES_256_CCM,                  \
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,      \
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384, BR_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,      \
        BR_TLS_RSA_WITH_AES_128_GCM_SHA256, BR_TLS_RSA_WITH_AES_256_GCM_SHA384,                    \
        BR_TLS_RSA_WITH_AES_128_CBC_SHA256, BR_TLS_RSA_WITH_AES_256_CBC_SHA256

static const uint16_t aes_first[] = {AES128_SUITES, CHACHA_SUITES, OTHER_SUITES};
static const uint16_t chacha_first[] = {CHACHA_SUITES, AES128_SUITES, OTHER_SUITES};

/* CBC with SHA-1: for peers that have nothing else, on a second connection. */
static const uint16_t last_resort[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, BR_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, BR_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
    BR_TLS_RSA_WITH_AES_128_CBC_SHA,         BR_TLS_RSA_WITH_AES_256_CBC_SHA,
};

static const char *protocols[] = {"http/1.1"};

bool tls_suite_is_older(unsigned suite)
{
    for (size_t i = 0; i < sizeof last_resort / sizeof *last_resort; i++)
        if (last_resort[i] == suite)
            return true;
    return false;
}

static void set_suites(br_ssl_engine_context *engine, bool offers_sha1_cbc)
{
    uint16_t all[sizeof aes_first / 2 + sizeof last_resort / 2];
    bool has_aes = br_aes_x86ni_ctr_get_vtable() != NULL || tls_arm_is_usable();
    const uint16_t *good = has_aes ? aes_first : chacha_first;
    size_t count = sizeof aes_first / sizeof *aes_first;

    memcpy(all, good, sizeof aes_first);
    if (offers_sha1_cbc) {
        memcpy(all + count, last_resort, sizeof last_resort);
        count += sizeof last_resort / sizeof *last_resort;
    }
    br_ssl_engine_set_suites(engine, all, count);
}

/* BearSSL takes a signature with any hash that the engine has, offered or not. */
static uint32_t verify_rsa(const unsigned char *signature, size_t len, const unsigned char *oid,
                           size_t hash_len, const br_rsa_public_key *key, unsigned char *hash)
{
    return hash_len < br_sha256_SIZE
               ? 0
               : br_rsa_pkcs1_vrfy_get_default()(signature, len, oid, hash_len, key, hash);
}

static uint32_t verify_ecdsa(const br_ec_impl *curves, const void *hash, size_t hash_len,
                             const br_ec_public_key *key, const void *signature, size_t len)
{
    return hash_len < br_sha256_SIZE
               ? 0
               : br_ecdsa_vrfy_asn1_get_default()(curves, hash, hash_len, key, signature, len);
}

void tls_setup_client(br_ssl_client_context *client, bool offers_sha1_cbc)
{
    br_ssl_engine_context *engine = &client->eng;

    br_ssl_client_zero(client);
    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    set_suites(engine, offers_sha1_cbc);
    br_ssl_client_set_default_rsapub(client);
    br_ssl_engine_set_default_ecdsa(engine); /* the curves, too */
    br_ssl_engine_set_rsavrfy(engine, verify_rsa);
    br_ssl_engine_set_ecdsa(engine, verify_ecdsa);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_hash(engine, br_sha512_ID, &br_sha512_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
    br_ssl_engine_set_default_aes_gcm(engine);
    tls_arm_use(engine);
    br_ssl_engine_set_default_aes_ccm(engine);
    br_ssl_engine_set_default_aes_cbc(engine);
    br_ssl_engine_set_default_chapol(engine);
    br_ssl_engine_set_protocol_names(engine, protocols, 1);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION | BR_OPT_FAIL_ON_ALPN_MISMATCH);
}

void tls_setup_mac(br_ssl_client_context *client)
{
    br_ssl_engine_set_hash(&client->eng, br_sha1_ID, &br_sha1_vtable);
}

const char *tls_server_name(const char *host, char room[256])
{
    struct str name = str_of(host);
    struct addr addr;

    if (addr_parse_literal(name, 0, &addr))
        return NULL;
    if (str_ends_with(name, STR(".")))
        name.len--;
    memcpy(room, name.p, name.len);
    room[name.len] = '\0';
    return room;
}

static const char *alert_name(int alert)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{10, "unexpected_message"},
                 {20, "bad_record_mac"},
                 {22, "record_overflow"},
                 {40, "handshake_failure"},
                 {42, "bad_certificate"},
                 {43, "unsupported_certificate"},
                 {44, "certificate_revoked"},
                 {45, "certificate_expired"},
                 {46, "certificate_unknown"},
                 {47, "illegal_parameter"},
                 {48, "unknown_ca"},
                 {49, "access_denied"},
                 {50, "decode_error"},
                 {51, "decrypt_error"},
                 {70, "protocol_version"},
                 {71, "insufficient_security"},
                 {80, "internal_error"},
                 {86, "inappropriate_fallback"},
                 {112, "unrecognized_name"},
                 {116, "certificate_required"},
                 {120, "no_application_protocol"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == alert)
            return names[i].name;
    return "unknown";
}

#define CURE " allow TLS 1.2 there (nginx: ssl_protocols TLSv1.2 TLSv1.3)"
#define NOTHING_IN_COMMON                                                                          \
    ": no cipher suite in common, or it wants TLS 1.3 alone or extended_master_secret, which "     \
    "this "                                                                                        \
    "program does not speak:" CURE

static const char *explain_alert(int alert, enum tls_stage stage)
{
    switch (alert) {
    case 40:
        return stage == TLS_OPEN        ? ": it may want to renegotiate"
               : stage == TLS_CERTIFIED ? ": it may want a client certificate"
                                        : NOTHING_IN_COMMON;
    case 42:
    case 116: return ": it wants a client certificate";
    case 70: return ": it does not speak TLS 1.2; if it allows TLS 1.3 alone," CURE;
    case 71: return NOTHING_IN_COMMON;
    case 112: return ": it does not know this host name";
    case 120: return ": it does not speak HTTP/1.1";
    default: return "";
    }
}

static int describe_alert(int alert, enum tls_stage stage, struct err *e)
{
    /* A connection that breaks after the handshake is a network error, not a refusal by the
     * peer. */
    enum err_code code = stage == TLS_OPEN && alert == 20 ? ERR_NETWORK : ERR_REFUSED;

    return err_set(e, code, "TLS: peer sent alert %d (%s)%s", alert, alert_name(alert),
                   explain_alert(alert, stage));
}

static int describe_malformed(int code, struct err *e)
{
    return err_set(e, ERR_PROTOCOL, "TLS: handshake or record is malformed (code %d)", code);
}

static bool is_printable_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

/* Explains bytes that are no TLS record. Records begin with their type (21 and 22 are first) and a
 * version of 3.something. */
static int describe_stranger(int code, enum tls_stage stage, struct str first, struct err *e)
{
    struct str line = str_slice(first, 0, str_find(first, '\r'));
    bool is_version = code == BR_ERR_UNSUPPORTED_VERSION || code == BR_ERR_BAD_VERSION;
    struct buf shown = {0};

    if (stage == TLS_OPEN)
        return err_set(e, ERR_NETWORK, "TLS: what came is no TLS record (damaged on its way?)");
    if (first.len > 1 && (first.p[0] == 21 || first.p[0] == 22) && first.p[1] == 3) {
        if (is_version)
            return err_set(e, ERR_REFUSED, "TLS: peer does not speak TLS 1.2 but an older version");
        return describe_malformed(code, e);
    }
    line = str_slice(line, 0, str_find(line, '\n'));
    if (is_printable_text(line))
        buf_put(&shown, line);
    err_set(e, ERR_REFUSED, "TLS: peer does not speak TLS%s%s%s", shown.len > 0 ? ": it says " : "",
            buf_cstr(&shown),
            str_starts_with(line, STR("HTTP/")) ? " (is this an http port? then use http://)" : "");
    buf_free(&shown);
    return -1;
}

int tls_describe_error(int code, enum tls_stage stage, struct str first, struct err *e)
{
    if (code >= BR_ERR_SEND_FATAL_ALERT)
        return err_set(e, ERR_PROTOCOL, "TLS: handshake failed (we sent alert %d, %s)",
                       code - BR_ERR_SEND_FATAL_ALERT, alert_name(code - BR_ERR_SEND_FATAL_ALERT));
    if (code >= BR_ERR_RECV_FATAL_ALERT)
        return describe_alert(code - BR_ERR_RECV_FATAL_ALERT, stage, e);
    switch (code) {
    case BR_ERR_UNSUPPORTED_VERSION:
    case BR_ERR_BAD_VERSION:
    case BR_ERR_BAD_LENGTH:
    case BR_ERR_TOO_LARGE:
    case BR_ERR_UNKNOWN_TYPE:
    case BR_ERR_BAD_ALERT: return describe_stranger(code, stage, first, e);
    case BR_ERR_BAD_MAC:
        return err_set(e, stage == TLS_OPEN ? ERR_NETWORK : ERR_PROTOCOL,
                       "TLS: a record was damaged on its way");
    case BR_ERR_BAD_SIGNATURE:
        return err_set(e, ERR_REFUSED,
                       "TLS: peer's handshake signature is wrong, or made with SHA-1");
    case BR_ERR_INVALID_ALGORITHM:
        return err_set(e, ERR_REFUSED,
                       "TLS: peer signs its key exchange with an algorithm that was not offered "
                       "(MD5, SHA-1?), or on another curve");
    case BR_ERR_BAD_SECRENEG:
        return err_set(e, ERR_REFUSED,
                       "TLS: peer does not support secure renegotiation (RFC 5746: "
                       "renegotiation_info): its TLS library is too old, or set to be unsafe");
    case BR_ERR_EXTRA_EXTENSION:
        return err_set(e, ERR_PROTOCOL, "TLS: peer answers an extension that was not offered");
    case BR_ERR_UNEXPECTED:
        return err_set(e, ERR_PROTOCOL,
                       "TLS: peer sends what was not asked for: an ALPN protocol that was not "
                       "offered, or a message out of turn");
    case BR_ERR_WRONG_KEY_USAGE:
        return err_set(e, ERR_REFUSED,
                       "TLS: wrong usage: certificate's key may not be used this way");
    case BR_ERR_NO_CLIENT_AUTH:
        return err_set(e, ERR_REFUSED, "TLS: peer wants a client certificate");
    default: return describe_malformed(code, e);
    }
}
