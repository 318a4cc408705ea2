/*
 * One block of each of eight messages as sixteen vectors of AVX2; included by kernels alone. The
 * includer has data[8], `at` (the block's offset) and w[16], and in `swap` SWAP_BYTES.
 */
#ifndef BASE_SHA_LANES_AVX2_H
#define BASE_SHA_LANES_AVX2_H

#include <immintrin.h>

#define SWAP_BYTES                                                                                 \
    _mm256_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203, 0x0c0d0e0f08090a0b,                  \
                      0x0405060700010203)

#define LOAD(lane)                                                                                 \
    _mm256_shuffle_epi8(                                                                           \
        _mm256_loadu_si256((const __m256i *)(const void *)(data[lane] + at + 32 * half)), swap)

/* Words 0 to 7, or 8 to 15, of a block of each lane: an 8 by 8 table turned over. */
#define LOAD_HALF()                                                                                \
    do {                                                                                           \
        const __m256i r0 = LOAD(0), r1 = LOAD(1), r2 = LOAD(2), r3 = LOAD(3);                      \
        const __m256i r4 = LOAD(4), r5 = LOAD(5), r6 = LOAD(6), r7 = LOAD(7);                      \
        const __m256i a0 = _mm256_unpacklo_epi32(r0, r1), a1 = _mm256_unpackhi_epi32(r0, r1);      \
        const __m256i a2 = _mm256_unpacklo_epi32(r2, r3), a3 = _mm256_unpackhi_epi32(r2, r3);      \
        const __m256i a4 = _mm256_unpacklo_epi32(r4, r5), a5 = _mm256_unpackhi_epi32(r4, r5);      \
        const __m256i a6 = _mm256_unpacklo_epi32(r6, r7), a7 = _mm256_unpackhi_epi32(r6, r7);      \
        const __m256i b0 = _mm256_unpacklo_epi64(a0, a2), b1 = _mm256_unpackhi_epi64(a0, a2);      \
        const __m256i b2 = _mm256_unpacklo_epi64(a1, a3), b3 = _mm256_unpackhi_epi64(a1, a3);      \
        const __m256i b4 = _mm256_unpacklo_epi64(a4, a6), b5 = _mm256_unpackhi_epi64(a4, a6);      \
        const __m256i b6 = _mm256_unpacklo_epi64(a5, a7), b7 = _mm256_unpackhi_epi64(a5, a7);      \
        word *const to = w + 8 * half;                                                             \
        to[0] = (word)_mm256_permute2x128_si256(b0, b4, 0x20);                                     \
        to[1] = (word)_mm256_permute2x128_si256(b1, b5, 0x20);                                     \
        to[2] = (word)_mm256_permute2x128_si256(b2, b6, 0x20);                                     \
        to[3] = (word)_mm256_permute2x128_si256(b3, b7, 0x20);                                     \
        to[4] = (word)_mm256_permute2x128_si256(b0, b4, 0x31);                                     \
        to[5] = (word)_mm256_permute2x128_si256(b1, b5, 0x31);                                     \
        to[6] = (word)_mm256_permute2x128_si256(b2, b6, 0x31);                                     \
        to[7] = (word)_mm256_permute2x128_si256(b3, b7, 0x31);                                     \
    } while (0)

#define LOAD_BLOCKS()                                                                              \
    do {                                                                                           \
        for (int half = 0; half < 2; half++)                                                       \
            LOAD_HALF();                                                                           \
    } while (0)

#endif
