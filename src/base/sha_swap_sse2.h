/* The bytes of words in vectors of SSE2, which lacks SSSE3's shuffle; included by kernels alone. */
#ifndef BASE_SHA_SWAP_SSE2_H
#define BASE_SHA_SWAP_SSE2_H

#include <emmintrin.h>

/* Returns the four words with their bytes the other way round. */
static inline __m128i sha_swap_sse2(__m128i x)
{
    x = _mm_or_si128(_mm_slli_epi16(x, 8), _mm_srli_epi16(x, 8));
    return _mm_shufflehi_epi16(_mm_shufflelo_epi16(x, 0xb1), 0xb1);
}

#endif
