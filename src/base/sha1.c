#include "base/sha1.h"

#include <string.h>

#include "base/cpu.h"
#include "base/hex.h"
#include "base/sha1_kernels.h"
#include "base/sha_words.h"

/* The costs are as measured, and for the SHA instructions as their latencies are published: with
 * them, one message after the other is hashed. */
static const struct sha_kernel items[] = {
    {0, 1, 138, sha1_portable_compress},
#if defined(__x86_64__)
    {CPU_SSE2, 1, 96, sha1_sse2_compress_one},
#endif
    {CPU_SSE2, 4, 236, sha1_sse2_compress},
    {CPU_AVX2, 1, 78, sha1_avx2_compress_one},
    {CPU_AVX2, 8, 190, sha1_avx2_compress},
    {CPU_AVX512, 16, 205, sha1_avx512_compress},
    {CPU_SHA, 1, 10, sha1_ni_compress},
    {CPU_ARM_SHA, 1, 10, sha1_arm_compress},
};

static const struct sha_kernels kernels = {items, sizeof items / sizeof *items};

static void compress_sha1(void *owner, const unsigned char *data, size_t count)
{
    uint32_t *const state = ((struct sha1 *)owner)->state;

    sha_kernels_choose(&kernels, 1)->compress(&state, &data, count);
}

void sha1_init(struct sha1 *h)
{
    static const uint32_t first[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

    memset(h, 0, sizeof *h);
    memcpy(h->state, first, sizeof first);
}

void sha1_update(struct sha1 *h, const void *data, size_t len)
{
    sha_message_add(&h->message, data, len, compress_sha1, h);
}

/* The blocks of a message that are hashed beside others'. */
struct sha1_part {
    struct sha1 *h;
    struct sha_blocks blocks;
};

/* The block in h is overwritten with the rest of the data, so it is hashed at once. */
static void put_blocks(void *owner, const unsigned char *data, size_t count)
{
    struct sha1_part *part = owner;

    if (data == part->h->message.block)
        compress_sha1(part->h, data, count);
    else
        part->blocks = (struct sha_blocks){part->h->state, data, count};
}

void sha1_update_many(struct sha1 *const h[], const struct str data[], size_t count)
{
    struct sha_blocks blocks[SHA1_LANES];

    for (size_t first = 0; first < count; first += SHA1_LANES) {
        size_t n = 0;
        for (; n < SHA1_LANES && first + n < count; n++) {
            struct sha1_part part = {.h = h[first + n]};
            sha_message_add(&part.h->message, data[first + n].p, data[first + n].len, put_blocks,
                            &part);
            blocks[n] = part.blocks;
        }
        sha_kernels_run(&kernels, blocks, n);
    }
}

size_t sha1_lanes(void)
{
    return sha_kernels_choose(&kernels, SHA1_LANES)->lanes;
}

void sha1_final(struct sha1 *h, unsigned char out[SHA1_SIZE])
{
    unsigned char tail[2 * SHA1_BLOCK];
    size_t blocks = sha_words_pad(tail, h->message.block, h->message.count_bytes);

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
