/* BearSSL's certificate engine interface on top of cert_path.h. */
#include <string.h>

#include "net/tls_internal.h"

static struct tls_peer *peer_of(const br_x509_class **ctx)
{
    return (struct tls_peer *)(void *)ctx;
}

static void start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct tls_peer *peer = peer_of(ctx);

    (void)server_name;
    buf_clear(&peer->chain);
    peer->count = 0;
    peer->failure = (struct err){0};
}

static void start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct tls_peer *peer = peer_of(ctx);

    if (peer->failure.code != ERR_NONE)
        return;
    if (peer->count == CERT_PATH_MAX_SENT)
        err_set(&peer->failure, ERR_TOO_LARGE, "peer sent more than %d certificates",
                CERT_PATH_MAX_SENT);
    else if (length > TLS_MAX_CHAIN_BYTES - peer->chain.len)
        err_set(&peer->failure, ERR_TOO_LARGE, "peer sent more than %d bytes of certificates",
                TLS_MAX_CHAIN_BYTES);
}

static void append_to_chain(const br_x509_class **ctx, const unsigned char *data, size_t len)
{
    struct tls_peer *peer = peer_of(ctx);

    if (peer->failure.code == ERR_NONE)
        buf_append(&peer->chain, data, len);
}

static void end_cert(const br_x509_class **ctx)
{
    struct tls_peer *peer = peer_of(ctx);

    if (peer->failure.code == ERR_NONE)
        peer->ends[peer->count++] = peer->chain.len;
}

static void take_peer_key(struct tls_peer *peer, const struct cert *leaf)
{
    static const int curves[] = {[CERT_KEY_P256] = BR_EC_secp256r1,
                                 [CERT_KEY_P384] = BR_EC_secp384r1,
                                 [CERT_KEY_P521] = BR_EC_secp521r1};
    unsigned usage = leaf->has_key_usage ? leaf->key_usage : ~0u;

    if (leaf->key_kind == CERT_KEY_RSA) {
        peer->key.key_type = BR_KEYTYPE_RSA;
        peer->key.key.rsa.n = (unsigned char *)leaf->rsa_modulus.p;
        peer->key.key.rsa.nlen = leaf->rsa_modulus.len;
        peer->key.key.rsa.e = (unsigned char *)leaf->rsa_exponent.p;
        peer->key.key.rsa.elen = leaf->rsa_exponent.len;
    } else {
        peer->key.key_type = BR_KEYTYPE_EC;
        peer->key.key.ec.curve = curves[leaf->key_kind];
        peer->key.key.ec.q = (unsigned char *)leaf->ec_point.p;
        peer->key.key.ec.qlen = leaf->ec_point.len;
    }
    peer->usages = 0;
    if (usage & CERT_USAGE_DIGITAL_SIGNATURE)
        peer->usages |= BR_KEYTYPE_SIGN;
    if (usage & (CERT_USAGE_KEY_ENCIPHERMENT | CERT_USAGE_KEY_AGREEMENT))
        peer->usages |= BR_KEYTYPE_KEYX;
    /* Many a lab's RSA certificate has keyEncipherment alone, after some recipe, and its server
     * signs with it all the same: OpenSSL and Go take either for the other. */
    if (leaf->key_kind == CERT_KEY_RSA && peer->usages != 0)
        peer->usages = BR_KEYTYPE_SIGN | BR_KEYTYPE_KEYX;
}

static unsigned end_chain(const br_x509_class **ctx)
{
    struct tls_peer *peer = peer_of(ctx);
    struct str sent[CERT_PATH_MAX_SENT];
    struct cert leaf;
    size_t start = 0;

    if (peer->failure.code != ERR_NONE || buf_check(&peer->chain, &peer->failure) != 0)
        return BR_ERR_X509_LIMIT_EXCEEDED;
    for (size_t i = 0; i < peer->count; i++) {
        sent[i] = str_slice(buf_str(&peer->chain), start, peer->ends[i]);
        start = peer->ends[i];
    }
    if (cert_path_verify(sent, peer->count, peer->trust, peer->host, peer->now_s, &leaf,
                         &peer->failure) != 0)
        return BR_ERR_X509_NOT_TRUSTED;
    take_peer_key(peer, &leaf);
    peer->expires_s = leaf.not_after_s;
    return 0;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct tls_peer *peer = (const struct tls_peer *)(const void *)ctx;

    if (usages != NULL)
        *usages = peer->usages;
    return &peer->key;
}

static const br_x509_class class = {sizeof(struct tls_peer),
                                    start_chain,
                                    start_cert,
                                    append_to_chain,
                                    end_cert,
                                    end_chain,
                                    get_pkey};

void tls_peer_init(struct tls_peer *peer, struct str host, const struct trust *trust, int64_t now_s)
{
    *peer = (struct tls_peer){.vtable = &class, .host = host, .trust = trust, .now_s = now_s};
}

void tls_peer_deinit(struct tls_peer *peer)
{
    buf_free(&peer->chain);
}
