/* One block of each of four messages as sixteen vectors of 128 bits; included by kernels alone. The
 * includer has data[4], `at` (the block's offset) and w[16]. */
#ifndef BASE_SHA_LANES_SSE2_H
#define BASE_SHA_LANES_SSE2_H

#if defined(__x86_64__)

#include "base/sha_swap_sse2.h"

#define LOAD(lane)                                                                                 \
    sha_swap_sse2(_mm_loadu_si128((const __m128i *)(const void *)(data[lane] + at + 16 * part)))

/* Words 4 part to 4 part + 3 of a block of each lane: a 4 by 4 table turned over. */
#define LOAD_PART()                                                                                \
    do {                                                                                           \
        const __m128i r0 = LOAD(0), r1 = LOAD(1), r2 = LOAD(2), r3 = LOAD(3);                      \
        const __m128i a0 = _mm_unpacklo_epi32(r0, r1), a1 = _mm_unpackhi_epi32(r0, r1);            \
        const __m128i a2 = _mm_unpacklo_epi32(r2, r3), a3 = _mm_unpackhi_epi32(r2, r3);            \
        w[4 * part] = (word)_mm_unpacklo_epi64(a0, a2);                                            \
        w[4 * part + 1] = (word)_mm_unpackhi_epi64(a0, a2);                                        \
        w[4 * part + 2] = (word)_mm_unpacklo_epi64(a1, a3);                                        \
        w[4 * part + 3] = (word)_mm_unpackhi_epi64(a1, a3);                                        \
    } while (0)

#define LOAD_BLOCKS()                                                                              \
    do {                                                                                           \
        for (int part = 0; part < 4; part++)                                                       \
            LOAD_PART();                                                                           \
    } while (0)

#else

#include "base/sha_words.h"

#define LOAD_BLOCKS()                                                                              \
    do {                                                                                           \
        for (int i = 0; i < 16; i++)                                                               \
            w[i] = (word){sha_words_get(data[0] + at + 4 * i),                                     \
                          sha_words_get(data[1] + at + 4 * i),                                     \
                          sha_words_get(data[2] + at + 4 * i),                                     \
                          sha_words_get(data[3] + at + 4 * i)};                                    \
    } while (0)

#endif

#endif
