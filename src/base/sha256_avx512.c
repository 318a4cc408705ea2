/* Sixteen lanes in AVX-512's vectors, which rotate and join three numbers in one instruction. */
#include "base/sha256_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 16
#define ROTATE(x, n) ((word)_mm512_ror_epi32((__m512i)(x), n))
#define CHOOSE(x, y, z) TERNARY(x, y, z, 0xca)
#define MAJORITY(x, y, z) TERNARY(x, y, z, 0xe8)
#define SUM(x, y, z) TERNARY(x, y, z, 0x96)
#define CONSTANT(i) sha256_kernels_constants[i]
#define TERNARY(x, y, z, table)                                                                    \
    ((word)_mm512_ternarylogic_epi32((__m512i)(x), (__m512i)(y), (__m512i)(z), table))

#include "base/sha256_lanes.h"

#define LOAD(lane)                                                                                 \
    _mm512_shuffle_epi8(_mm512_loadu_si512((const void *)(data[lane] + at)), swap)

/* Four lanes from `first` on: r[4 q + j] gets word 4 i + j of each of them in its part i. */
#define LOAD_FOUR(q)                                                                               \
    do {                                                                                           \
        const __m512i r0 = LOAD(4 * (q)), r1 = LOAD(4 * (q) + 1);                                  \
        const __m512i r2 = LOAD(4 * (q) + 2), r3 = LOAD(4 * (q) + 3);                              \
        const __m512i a0 = _mm512_unpacklo_epi32(r0, r1), a1 = _mm512_unpackhi_epi32(r0, r1);      \
        const __m512i a2 = _mm512_unpacklo_epi32(r2, r3), a3 = _mm512_unpackhi_epi32(r2, r3);      \
        r[4 * (q)] = _mm512_unpacklo_epi64(a0, a2);                                                \
        r[4 * (q) + 1] = _mm512_unpackhi_epi64(a0, a2);                                            \
        r[4 * (q) + 2] = _mm512_unpacklo_epi64(a1, a3);                                            \
        r[4 * (q) + 3] = _mm512_unpackhi_epi64(a1, a3);                                            \
    } while (0)

/* Words j, 4 + j, 8 + j and 12 + j of all lanes: the parts of four vectors put together anew. */
#define TAKE_WORDS(j)                                                                              \
    do {                                                                                           \
        const __m512i a0 = _mm512_shuffle_i32x4(r[j], r[4 + (j)], 0x44);                           \
        const __m512i a1 = _mm512_shuffle_i32x4(r[j], r[4 + (j)], 0xee);                           \
        const __m512i a2 = _mm512_shuffle_i32x4(r[8 + (j)], r[12 + (j)], 0x44);                    \
        const __m512i a3 = _mm512_shuffle_i32x4(r[8 + (j)], r[12 + (j)], 0xee);                    \
        w[j] = (word)_mm512_shuffle_i32x4(a0, a2, 0x88);                                           \
        w[4 + (j)] = (word)_mm512_shuffle_i32x4(a0, a2, 0xdd);                                     \
        w[8 + (j)] = (word)_mm512_shuffle_i32x4(a1, a3, 0x88);                                     \
        w[12 + (j)] = (word)_mm512_shuffle_i32x4(a1, a3, 0xdd);                                    \
    } while (0)

__attribute__((target("avx512f,avx512bw"))) void
sha256_avx512_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const __m512i swap = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    word s[8], w[16];

    LOAD_STATES();
    for (size_t at = 0; count > 0; count--, at += 64) {
        __m512i r[16];
        LOAD_FOUR(0);
        LOAD_FOUR(1);
        LOAD_FOUR(2);
        LOAD_FOUR(3);
        TAKE_WORDS(0);
        TAKE_WORDS(1);
        TAKE_WORDS(2);
        TAKE_WORDS(3);
        ALL_ROUNDS();
    }
    STORE_STATES();
}

#else

void sha256_avx512_compress(uint32_t *const states[], const unsigned char *const data[],
                            size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
