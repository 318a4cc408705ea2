/* One message, its schedule in SSE2's vectors, which every x86-64 has. */
#include "base/sha1_kernels.h"

#if defined(__x86_64__)

#include "base/sha_swap_sse2.h"

typedef __m128i vector;

#define ADD(x, y) _mm_add_epi32(x, y)
#define XOR(x, y) _mm_xor_si128(x, y)
#define SHIFT_LEFT(x, n) _mm_slli_epi32(x, n)
#define SHIFT_RIGHT(x, n) _mm_srli_epi32(x, n)
#define MIDDLE(x, y)                                                                               \
    _mm_castpd_si128(_mm_shuffle_pd(_mm_castsi128_pd(x), _mm_castsi128_pd(y), 1))
#define LAST_THREE(x) _mm_srli_si128(x, 4)
#define ONLY_FIRST(x) _mm_slli_si128(x, 12)
#define LOAD(i) sha_swap_sse2(_mm_loadu_si128((const __m128i *)(const void *)ahead + (i)))
#define STORE(i, x) _mm_store_si128((__m128i *)(void *)then + (i), x)
#define WORD(i) now[i]

#include "base/sha1_ahead.h"

void sha1_sse2_compress_one(uint32_t *const states[], const unsigned char *const data[],
                            size_t count)
{
    const __m128i k[4] = {_mm_set1_epi32(0x5a827999), _mm_set1_epi32(0x6ed9eba1),
                          _mm_set1_epi32((int)0x8f1bbcdc), _mm_set1_epi32((int)0xca62c1d6)};
    __attribute__((aligned(16))) uint32_t stored[2][80];
    uint32_t *const s = states[0], *now = stored[1], *then = stored[0];
    const unsigned char *ahead = data[0];
    __m128i w[8];

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

void sha1_sse2_compress_one(uint32_t *const states[], const unsigned char *const data[],
                            size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
