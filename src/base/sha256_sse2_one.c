/* One message, its schedule in SSE2's vectors, which every x86-64 has. */
#include "base/sha256_kernels.h"

#if defined(__x86_64__)

#include "base/sha_swap_sse2.h"

typedef __m128i vector;

#define ADD(x, y) _mm_add_epi32(x, y)
#define XOR(x, y) _mm_xor_si128(x, y)
#define SHIFT_LEFT(x, n) _mm_slli_epi32(x, n)
#define SHIFT_RIGHT(x, n) _mm_srli_epi32(x, n)
#define SHIFT_PAIR_RIGHT(x, n) _mm_srli_epi64(x, n)
#define NEXT_FOUR(x, y)                                                                            \
    _mm_shuffle_epi32(                                                                             \
        _mm_castps_si128(_mm_move_ss(_mm_castsi128_ps(x), _mm_castsi128_ps(y))), 0x39)
#define TWICE_LOW(x) _mm_shuffle_epi32(x, 0x50)
#define TWICE_HIGH(x) _mm_shuffle_epi32(x, 0xfa)
#define TO_LOW(x) _mm_srli_si128(_mm_shuffle_epi32(x, 0x80), 8)
#define TO_HIGH(x) _mm_slli_si128(_mm_shuffle_epi32(x, 0x08), 8)
#define LOAD(i) sha_swap_sse2(_mm_loadu_si128((const __m128i *)(const void *)ahead + (i)))
#define CONSTANTS(i)                                                                               \
    _mm_loadu_si128((const __m128i *)(const void *)(sha256_kernels_constants + 4 * (i)))
#define STORE(i, x) _mm_store_si128((__m128i *)(void *)then + (i), x)
#define WORD(i) now[i]

#include "base/sha256_ahead.h"

void sha256_sse2_compress_one(uint32_t *const states[], const unsigned char *const data[],
                              size_t count)
{
    __attribute__((aligned(16))) uint32_t stored[2][64];
    uint32_t *const s = states[0], *now = stored[1], *then = stored[0];
    const unsigned char *ahead = data[0];
    __m128i w[4];

    SCHEDULE_ALL();
    for (; count > 0; count--) {
        uint32_t *const done = now;
        now = then;
        then = done;
        ahead += count > 1 ? 64 : 0; /* the last block is computed twice */
        ALL_ROUNDS(SCHEDULE);
    }
}

#else

void sha256_sse2_compress_one(uint32_t *const states[], const unsigned char *const data[],
                              size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
