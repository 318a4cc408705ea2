/* With the x86 SHA extensions, one message or two in turn. */
#include "base/sha256_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* The state of one message: as the instructions want it (a b e f, and c d g h), its value before
 * the block, and sixteen words of the schedule. */
#define DECLARE(m)                                                                                 \
    __m128i m##abef, m##cdgh, m##first_abef, m##first_cdgh, m##wk;                                 \
    __m128i m##0, m##1, m##2, m##3

#define LOAD_STATE(m, state)                                                                       \
    do {                                                                                           \
        const __m128i *const from = (const __m128i *)(const void *)(state);                        \
        const __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(from), 0xb1);                        \
        m##cdgh = _mm_shuffle_epi32(_mm_loadu_si128(from + 1), 0x1b);                              \
        m##abef = _mm_alignr_epi8(low, m##cdgh, 8);                                                \
        m##cdgh = _mm_blend_epi16(m##cdgh, low, 0xf0);                                             \
    } while (0)

#define STORE_STATE(m, state)                                                                      \
    do {                                                                                           \
        __m128i *const to = (__m128i *)(void *)(state);                                            \
        const __m128i feba = _mm_shuffle_epi32(m##abef, 0x1b);                                     \
        const __m128i dchg = _mm_shuffle_epi32(m##cdgh, 0xb1);                                     \
        _mm_storeu_si128(to, _mm_blend_epi16(feba, dchg, 0xf0));                                   \
        _mm_storeu_si128(to + 1, _mm_alignr_epi8(dchg, feba, 8));                                  \
    } while (0)

#define LOAD(p, i) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p) + (i)), swap)

#define BEGIN(m, p)                                                                                \
    do {                                                                                           \
        m##first_abef = m##abef;                                                                   \
        m##first_cdgh = m##cdgh;                                                                   \
        m##0 = LOAD(p, 0);                                                                         \
        m##1 = LOAD(p, 1);                                                                         \
        m##2 = LOAD(p, 2);                                                                         \
        m##3 = LOAD(p, 3);                                                                         \
    } while (0)

#define END(m)                                                                                     \
    do {                                                                                           \
        m##abef = _mm_add_epi32(m##abef, m##first_abef);                                           \
        m##cdgh = _mm_add_epi32(m##cdgh, m##first_cdgh);                                           \
    } while (0)

#define CONSTANTS(i)                                                                               \
    _mm_loadu_si128((const __m128i *)(const void *)(sha256_kernels_constants + (i)))

/* Rounds i to i + 3, in three steps, so that those of two messages can be mixed. */
#define ADD_CONSTANTS(m, w, i) m##wk = _mm_add_epi32(w, CONSTANTS(i))
#define TWO_ROUNDS(m) m##cdgh = _mm_sha256rnds2_epu32(m##cdgh, m##abef, m##wk)
#define TWO_MORE(m)                                                                                \
    m##abef = _mm_sha256rnds2_epu32(m##abef, m##cdgh, _mm_shuffle_epi32(m##wk, 0x0e))

/* The four words that follow w0 to w3 in the message schedule, in place of w0. */
#define SCHEDULE(w0, w1, w2, w3)                                                                   \
    w0 = _mm_sha256msg2_epu32(                                                                     \
        _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3)

#define ONE_FOUR(m, w, i)                                                                          \
    do {                                                                                           \
        ADD_CONSTANTS(m, m##w, i);                                                                 \
        TWO_ROUNDS(m);                                                                             \
        TWO_MORE(m);                                                                               \
    } while (0)

#define ONE_FOUR_MORE(m, w0, w1, w2, w3, i)                                                        \
    do {                                                                                           \
        SCHEDULE(m##w0, m##w1, m##w2, m##w3);                                                      \
        ONE_FOUR(m, w0, i);                                                                        \
    } while (0)

#define BOTH_FOUR(w, i)                                                                            \
    do {                                                                                           \
        ADD_CONSTANTS(x, x##w, i);                                                                 \
        ADD_CONSTANTS(y, y##w, i);                                                                 \
        TWO_ROUNDS(x);                                                                             \
        TWO_ROUNDS(y);                                                                             \
        TWO_MORE(x);                                                                               \
        TWO_MORE(y);                                                                               \
    } while (0)

#define BOTH_FOUR_MORE(w0, w1, w2, w3, i)                                                          \
    do {                                                                                           \
        SCHEDULE(x##w0, x##w1, x##w2, x##w3);                                                      \
        SCHEDULE(y##w0, y##w1, y##w2, y##w3);                                                      \
        BOTH_FOUR(w0, i);                                                                          \
    } while (0)

__attribute__((target("sha,ssse3,sse4.1"))) void
sha256_ni_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const unsigned char *p = data[0];
    DECLARE(x);

    LOAD_STATE(x, states[0]);
    for (; count > 0; count--, p += 64) {
        BEGIN(x, p);
        ONE_FOUR(x, 0, 0);
        ONE_FOUR(x, 1, 4);
        ONE_FOUR(x, 2, 8);
        ONE_FOUR(x, 3, 12);
        for (int i = 16; i < 64; i += 16) {
            ONE_FOUR_MORE(x, 0, 1, 2, 3, i);
            ONE_FOUR_MORE(x, 1, 2, 3, 0, i + 4);
            ONE_FOUR_MORE(x, 2, 3, 0, 1, i + 8);
            ONE_FOUR_MORE(x, 3, 0, 1, 2, i + 12);
        }
        END(x);
    }
    STORE_STATE(x, states[0]);
}

__attribute__((target("sha,ssse3,sse4.1"))) void
sha256_ni_compress_two(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const unsigned char *p = data[0], *q = data[1];
    DECLARE(x);
    DECLARE(y);

    LOAD_STATE(x, states[0]);
    LOAD_STATE(y, states[1]);
    for (; count > 0; count--, p += 64, q += 64) {
        BEGIN(x, p);
        BEGIN(y, q);
        BOTH_FOUR(0, 0);
        BOTH_FOUR(1, 4);
        BOTH_FOUR(2, 8);
        BOTH_FOUR(3, 12);
        for (int i = 16; i < 64; i += 16) {
            BOTH_FOUR_MORE(0, 1, 2, 3, i);
            BOTH_FOUR_MORE(1, 2, 3, 0, i + 4);
            BOTH_FOUR_MORE(2, 3, 0, 1, i + 8);
            BOTH_FOUR_MORE(3, 0, 1, 2, i + 12);
        }
        END(x);
        END(y);
    }
    STORE_STATE(x, states[0]);
    STORE_STATE(y, states[1]);
}

#else

void sha256_ni_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

void sha256_ni_compress_two(uint32_t *const states[], const unsigned char *const data[],
                            size_t count)
{
    sha256_ni_compress(states, data, count);
}

#endif
