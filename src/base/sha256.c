#include "base/sha256.h"

#include <string.h>

#include <bearssl_hash.h>

#include "base/cpu.h"
#include "base/sha256_kernels.h"
#include "base/sha_words.h"

const uint32_t sha256_kernels_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* BearSSL gives its compression function only through a context whose state can be set. */
static void compress_sha256_portable(uint32_t *const states[], const unsigned char *const data[],
                                     size_t count)
{
    unsigned char bytes[SHA256_SIZE];
    br_sha256_context ctx;

    for (int i = 0; i < 8; i++)
        sha_words_put(bytes + 4 * i, states[0][i]);
    br_sha256_init(&ctx);
    br_sha256_set_state(&ctx, bytes, 0);
    br_sha256_update(&ctx, data[0], count * SHA256_BLOCK);
    br_sha256_state(&ctx, bytes);
    for (int i = 0; i < 8; i++)
        states[0][i] = sha_words_get(bytes + 4 * i);
}

/* The costs are as measured, and for the SHA instructions as their latencies are published. */
static const struct sha_kernel items[] = {
    {0, 1, 36, compress_sha256_portable},
#if defined(__x86_64__)
    {CPU_SSE2, 1, 28, sha256_sse2_compress_one},
#endif
    {CPU_SSE2, 4, 62, sha256_sse2_compress},
    {CPU_AVX2, 1, 20, sha256_avx2_compress_one},
    {CPU_AVX2, 8, 47, sha256_avx2_compress},
    {CPU_AVX512, 16, 44, sha256_avx512_compress},
    {CPU_SHA, 1, 8, sha256_ni_compress},
    {CPU_SHA, 2, 9, sha256_ni_compress_two},
    {CPU_ARM_SHA, 1, 8, sha256_arm_compress},
};

static const struct sha_kernels kernels = {items, sizeof items / sizeof *items};

static void begin_state(uint32_t state[8])
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(state, first, sizeof first);
}

static void put_state(const uint32_t state[8], unsigned char out[SHA256_SIZE])
{
    for (int i = 0; i < 8; i++)
        sha_words_put(out + 4 * i, state[i]);
}

/* --- one message --- */

static void compress_sha256(void *owner, const unsigned char *data, size_t count)
{
    uint32_t *const state = ((struct sha256 *)owner)->state;

    sha_kernels_choose(&kernels, 1)->compress(&state, &data, count);
}

void sha256_init(struct sha256 *h)
{
    memset(h, 0, sizeof *h);
    begin_state(h->state);
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
    sha_message_add(&h->message, data, len, compress_sha256, h);
}

void sha256_final(struct sha256 *h, unsigned char out[SHA256_SIZE])
{
    unsigned char tail[2 * SHA256_BLOCK];
    size_t blocks = sha_words_pad(tail, h->message.block, h->message.count_bytes);

    compress_sha256(h, tail, blocks);
    put_state(h->state, out);
}

void sha256_of(struct str data, unsigned char out[SHA256_SIZE])
{
    struct sha256 h;

    sha256_init(&h);
    sha256_update(&h, data.p, data.len);
    sha256_final(&h, out);
}

/* --- many --- */

/* Up to SHA256_LANES of them: first the whole blocks of all, then their ends. */
static void hash_group(const struct str *messages, size_t count, unsigned char (*out)[SHA256_SIZE])
{
    uint32_t states[SHA256_LANES][8];
    unsigned char tails[SHA256_LANES][2 * SHA256_BLOCK];
    struct sha_blocks whole[SHA256_LANES], ends[SHA256_LANES];

    for (size_t i = 0; i < count; i++) {
        const unsigned char *p = (const unsigned char *)messages[i].p;
        size_t blocks = messages[i].len / SHA256_BLOCK;
        const unsigned char *rest = p == NULL ? NULL : p + blocks * SHA256_BLOCK;
        begin_state(states[i]);
        whole[i] = (struct sha_blocks){states[i], p, blocks};
        size_t last_blocks = sha_words_pad(tails[i], rest, messages[i].len);
        ends[i] = (struct sha_blocks){states[i], tails[i], last_blocks};
    }
    sha_kernels_run(&kernels, whole, count);
    sha_kernels_run(&kernels, ends, count);
    for (size_t i = 0; i < count; i++)
        put_state(states[i], out[i]);
}

void sha256_of_many(const struct str *messages, size_t count, unsigned char (*out)[SHA256_SIZE])
{
    while (count > 0) {
        size_t n = count < SHA256_LANES ? count : SHA256_LANES;
        hash_group(messages, n, out);
        messages += n;
        out += n;
        count -= n;
    }
}

size_t sha256_lanes(void)
{
    return sha_kernels_choose(&kernels, SHA256_LANES)->lanes;
}
