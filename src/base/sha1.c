#include "base/sha1.h"

#include <string.h>

#include "base/cpu.h"
#include "base/hex.h"
#include "base/sha1_ni.h"
#include "base/sha_words.h"

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

/* The functions of FIPS 180-4, 4.1.1, with their constants. */
#define CHOOSE(x, y, z) (((z) ^ ((x) & ((y) ^ (z)))) + 0x5a827999)
#define PARITY_1(x, y, z) (((x) ^ (y) ^ (z)) + 0x6ed9eba1)
#define MAJORITY(x, y, z) ((((x) & (y)) | ((z) & ((x) | (y)))) + 0x8f1bbcdc)
#define PARITY_2(x, y, z) (((x) ^ (y) ^ (z)) + 0xca62c1d6)

#define FIRST(i) w[i]
#define LATER(i)                                                                                   \
    (w[(i) & 15] ^= w[((i) + 13) & 15] ^ w[((i) + 8) & 15] ^ w[((i) + 2) & 15],                    \
     w[(i) & 15] = ROTATE(w[(i) & 15], 1))

/* A round; the five working variables are named anew instead of moved. */
#define ROUND(F, W, a, b, c, d, e, i)                                                              \
    do {                                                                                           \
        e += ROTATE(a, 5) + F(b, c, d) + W(i);                                                     \
        b = ROTATE(b, 30);                                                                         \
    } while (0)

#define FIVE(F, W, i)                                                                              \
    do {                                                                                           \
        ROUND(F, W, a, b, c, d, e, (i));                                                           \
        ROUND(F, W, e, a, b, c, d, (i) + 1);                                                       \
        ROUND(F, W, d, e, a, b, c, (i) + 2);                                                       \
        ROUND(F, W, c, d, e, a, b, (i) + 3);                                                       \
        ROUND(F, W, b, c, d, e, a, (i) + 4);                                                       \
    } while (0)

#define TWENTY(F, i)                                                                               \
    do {                                                                                           \
        FIVE(F, LATER, i);                                                                         \
        FIVE(F, LATER, (i) + 5);                                                                   \
        FIVE(F, LATER, (i) + 10);                                                                  \
        FIVE(F, LATER, (i) + 15);                                                                  \
    } while (0)

/* BearSSL's, which is made for small processors, takes more than twice the time. */
static void compress_sha1_portable(uint32_t state[5], const unsigned char *blocks, size_t count)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], w[16];

    for (; count > 0; count--, blocks += SHA1_BLOCK) {
        for (int i = 0; i < 16; i++)
            w[i] = sha_words_get(blocks + 4 * i);
        FIVE(CHOOSE, FIRST, 0);
        FIVE(CHOOSE, FIRST, 5);
        FIVE(CHOOSE, FIRST, 10);
        ROUND(CHOOSE, FIRST, a, b, c, d, e, 15);
        ROUND(CHOOSE, LATER, e, a, b, c, d, 16);
        ROUND(CHOOSE, LATER, d, e, a, b, c, 17);
        ROUND(CHOOSE, LATER, c, d, e, a, b, 18);
        ROUND(CHOOSE, LATER, b, c, d, e, a, 19);
        TWENTY(PARITY_1, 20);
        TWENTY(MAJORITY, 40);
        TWENTY(PARITY_2, 60);
        a = state[0] += a;
        b = state[1] += b;
        c = state[2] += c;
        d = state[3] += d;
        e = state[4] += e;
    }
}

static void compress_sha1(struct sha1 *h, const unsigned char *blocks, size_t count)
{
    if (cpu_features() & CPU_SHA)
        sha1_ni_compress(h->state, blocks, count);
    else
        compress_sha1_portable(h->state, blocks, count);
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
        compress_sha1(h, h->block, 1);
        p += n;
        len -= n;
    }
    if (len >= SHA1_BLOCK)
        compress_sha1(h, p, len / SHA1_BLOCK);
    memcpy(h->block, p + len / SHA1_BLOCK * SHA1_BLOCK, len % SHA1_BLOCK);
}

void sha1_final(struct sha1 *h, unsigned char out[SHA1_SIZE])
{
    unsigned char tail[2 * SHA1_BLOCK];
    size_t blocks = sha_words_pad(tail, h->block, h->count_bytes);

    compress_sha1(h, tail, blocks);
    for (int i = 0; i < 5; i++)
        sha_words_put(out + 4 * i, h->state[i]);
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
