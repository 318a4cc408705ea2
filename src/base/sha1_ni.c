/* With the x86 SHA extensions. */
#include "base/sha1_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

/*
 * Four rounds with the message words in w0: the instructions take E from the A of four rounds
 * before. F is the round function and its constant, an immediate.
 */
#define ROUNDS(w0, F)                                                                              \
    do {                                                                                           \
        next = abcd;                                                                               \
        abcd = _mm_sha1rnds4_epu32(abcd, _mm_sha1nexte_epu32(e, w0), F);                           \
        e = next;                                                                                  \
    } while (0)

/* The four words that follow w0 to w3 in the message schedule, in place of w0. */
#define SCHEDULE(w0, w1, w2, w3)                                                                   \
    w0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3)

/* SCHEDULE is done early where its inputs are ready: the rounds are one long chain, and it fills
 * the time in which they wait for each other. */
#define SIXTEEN(Fa, Fb, Fc, Fd)                                                                    \
    do {                                                                                           \
        SCHEDULE(w0, w1, w2, w3);                                                                  \
        ROUNDS(w0, Fa);                                                                            \
        SCHEDULE(w1, w2, w3, w0);                                                                  \
        ROUNDS(w1, Fb);                                                                            \
        SCHEDULE(w2, w3, w0, w1);                                                                  \
        ROUNDS(w2, Fc);                                                                            \
        SCHEDULE(w3, w0, w1, w2);                                                                  \
        ROUNDS(w3, Fd);                                                                            \
    } while (0)

#define LOAD(i) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p + (i)), swap)

__attribute__((target("sha,sse4.1"))) void sha1_ni_compress(uint32_t *const states[],
                                                            const unsigned char *const data[],
                                                            size_t count)
{
    uint32_t *const state = states[0];
    const unsigned char *p = data[0];
    const __m128i swap = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i *const low = (__m128i *)(void *)state;
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(low), 0x1b);
    __m128i e = _mm_set_epi32((int)state[4], 0, 0, 0);

    for (; count > 0; count--, p += 64) {
        const __m128i first_abcd = abcd, first_e = e;
        __m128i w0 = LOAD(0), w1 = LOAD(1), w2 = LOAD(2), w3 = LOAD(3), next;

        next = abcd; /* the first E is the state's own, not to be rotated */
        abcd = _mm_sha1rnds4_epu32(abcd, _mm_add_epi32(e, w0), 0);
        e = next;
        ROUNDS(w1, 0);
        ROUNDS(w2, 0);
        ROUNDS(w3, 0);
        SIXTEEN(0, 1, 1, 1);
        SIXTEEN(1, 1, 2, 2);
        SIXTEEN(2, 2, 2, 3);
        SIXTEEN(3, 3, 3, 3);
        e = _mm_sha1nexte_epu32(e, first_e);
        abcd = _mm_add_epi32(abcd, first_abcd);
    }
    _mm_storeu_si128(low, _mm_shuffle_epi32(abcd, 0x1b));
    state[4] = (uint32_t)_mm_extract_epi32(e, 3);
}

#else

void sha1_ni_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
