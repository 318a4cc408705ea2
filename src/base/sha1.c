#include "base/sha1.h"

#include <string.h>

#include <bearssl_hash.h>

#include "base/hex.h"
#include "base/sha1_ni.h"

/* -1: not asked yet. */
static int cpu_has_sha = -1;
static bool may_use_cpu = true;

static bool uses_cpu(void)
{
    if (cpu_has_sha < 0)
        cpu_has_sha = sha1_ni_is_present();
    return may_use_cpu && cpu_has_sha > 0;
}

static void put_be32(unsigned char *out, uint32_t value)
{
    out[0] = (unsigned char)(value >> 24);
    out[1] = (unsigned char)(value >> 16);
    out[2] = (unsigned char)(value >> 8);
    out[3] = (unsigned char)value;
}

static uint32_t get_be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* BearSSL gives its compression function only through a context whose state can be set. */
static void compress_portable(uint32_t state[5], const unsigned char *blocks, size_t count)
{
    unsigned char bytes[SHA1_SIZE];
    br_sha1_context ctx;

    for (int i = 0; i < 5; i++)
        put_be32(bytes + 4 * i, state[i]);
    br_sha1_init(&ctx);
    br_sha1_set_state(&ctx, bytes, 0);
    br_sha1_update(&ctx, blocks, count * SHA1_BLOCK);
    br_sha1_state(&ctx, bytes);
    for (int i = 0; i < 5; i++)
        state[i] = get_be32(bytes + 4 * i);
}

static void compress(struct sha1 *h, const unsigned char *blocks, size_t count)
{
    if (uses_cpu())
        sha1_ni_compress(h->state, blocks, count);
    else
        compress_portable(h->state, blocks, count);
}

void sha1_init(struct sha1 *h)
{
    static const uint32_t first[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

    memset(h, 0, sizeof *h);
    memcpy(h->state, first, sizeof first);
}

void sha1_update(struct sha1 *h, const void *data, size_t len)
{
    const unsigned char *p = data;
    size_t have = h->count_bytes % SHA1_BLOCK;

    if (len == 0)
        return;
    h->count_bytes += len;
    if (have > 0) {
        size_t n = SHA1_BLOCK - have < len ? SHA1_BLOCK - have : len;
        memcpy(h->block + have, p, n);
        if (have + n < SHA1_BLOCK)
            return;
        compress(h, h->block, 1);
        p += n;
        len -= n;
    }
    if (len >= SHA1_BLOCK)
        compress(h, p, len / SHA1_BLOCK);
    memcpy(h->block, p + len / SHA1_BLOCK * SHA1_BLOCK, len % SHA1_BLOCK);
}

void sha1_final(struct sha1 *h, unsigned char out[SHA1_SIZE])
{
    unsigned char tail[2 * SHA1_BLOCK] = {0};
    size_t have = h->count_bytes % SHA1_BLOCK;
    size_t blocks = have < SHA1_BLOCK - 8 ? 1 : 2;

    memcpy(tail, h->block, have);
    tail[have] = 0x80;
    put_be32(tail + blocks * SHA1_BLOCK - 8, (uint32_t)(h->count_bytes >> 29));
    put_be32(tail + blocks * SHA1_BLOCK - 4, (uint32_t)(h->count_bytes << 3));
    compress(h, tail, blocks);
    for (int i = 0; i < 5; i++)
        put_be32(out + 4 * i, h->state[i]);
}

void sha1_final_hex(struct sha1 *h, char out[SHA1_HEX + 1])
{
    unsigned char digest[SHA1_SIZE];

    sha1_final(h, digest);
    hex_encode(digest, SHA1_SIZE, out);
}

void sha1_of(struct str data, unsigned char out[SHA1_SIZE])
{
    struct sha1 h;

    sha1_init(&h);
    sha1_update(&h, data.p, data.len);
    sha1_final(&h, out);
}

void sha1_allow_cpu(bool is_allowed)
{
    may_use_cpu = is_allowed;
}
