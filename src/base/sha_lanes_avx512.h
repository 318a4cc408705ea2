/*
 * One block of each of sixteen messages as sixteen vectors of AVX-512; included by kernels alone.
 * The includer has data[16], `at` (the block's offset) and w[16], and in `swap` SWAP_BYTES.
 */
#ifndef BASE_SHA_LANES_AVX512_H
#define BASE_SHA_LANES_AVX512_H

#include <immintrin.h>

/* A function of three words by the table of its bits. */
#define TERNARY(x, y, z, table)                                                                    \
    ((word)_mm512_ternarylogic_epi32((__m512i)(x), (__m512i)(y), (__m512i)(z), table))

#define SWAP_BYTES _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203)

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

#define LOAD_BLOCKS()                                                                              \
    do {                                                                                           \
        __m512i r[16];                                                                             \
        LOAD_FOUR(0);                                                                              \
        LOAD_FOUR(1);                                                                              \
        LOAD_FOUR(2);                                                                              \
        LOAD_FOUR(3);                                                                              \
        TAKE_WORDS(0);                                                                             \
        TAKE_WORDS(1);                                                                             \
        TAKE_WORDS(2);                                                                             \
        TAKE_WORDS(3);                                                                             \
    } while (0)

#endif
