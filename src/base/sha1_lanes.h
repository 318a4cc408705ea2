/*
 * The rounds of SHA-1 on vectors, one message in each lane; included by the kernels alone, each for
 * its own width. The includer defines LANES, unless it has 4; 1 is a plain number. It may define
 * ROTATE (to the left), CHOOSE, MAJORITY and SUM (three numbers modulo 2) if its vectors have
 * better instructions.
 */
#ifndef BASE_SHA1_LANES_H
#define BASE_SHA1_LANES_H

#include "base/sha1_kernels.h"

#ifndef LANES
#define LANES 4
#endif

#if LANES == 1
typedef uint32_t word;
#else
typedef uint32_t word __attribute__((vector_size(4 * LANES)));
#endif

#ifndef ROTATE
#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define SUM(x, y, z) ((x) ^ (y) ^ (z))
#endif

/* A round; the five working variables are named anew instead of moved. */
#define ROUND(F, K, W, a, b, c, d, e, i)                                                           \
    do {                                                                                           \
        e += F(b, c, d) + (W(i) + K) + ROTATE(a, 5);                                               \
        b = ROTATE(b, 30);                                                                         \
    } while (0)

#define FIRST(i) w[i]
#define LATER(i)                                                                                   \
    (w[(i) & 15] = SUM(w[((i) + 13) & 15], w[((i) + 8) & 15], w[((i) + 2) & 15]) ^ w[(i) & 15],    \
     w[(i) & 15] = ROTATE(w[(i) & 15], 1))

#define FIVE(F, K, W, i)                                                                           \
    do {                                                                                           \
        ROUND(F, K, W, a, b, c, d, e, (i));                                                        \
        ROUND(F, K, W, e, a, b, c, d, (i) + 1);                                                    \
        ROUND(F, K, W, d, e, a, b, c, (i) + 2);                                                    \
        ROUND(F, K, W, c, d, e, a, b, (i) + 3);                                                    \
        ROUND(F, K, W, b, c, d, e, a, (i) + 4);                                                    \
    } while (0)

#define TWENTY(F, K, i)                                                                            \
    do {                                                                                           \
        FIVE(F, K, LATER, (i));                                                                    \
        FIVE(F, K, LATER, (i) + 5);                                                                \
        FIVE(F, K, LATER, (i) + 10);                                                               \
        FIVE(F, K, LATER, (i) + 15);                                                               \
    } while (0)

/* All rounds of one block, whose words are in w[16], on the state s[5]. */
#define ALL_ROUNDS()                                                                               \
    do {                                                                                           \
        word a = s[0], b = s[1], c = s[2], d = s[3], e = s[4];                                     \
        FIVE(CHOOSE, 0x5a827999, FIRST, 0);                                                        \
        FIVE(CHOOSE, 0x5a827999, FIRST, 5);                                                        \
        FIVE(CHOOSE, 0x5a827999, FIRST, 10);                                                       \
        ROUND(CHOOSE, 0x5a827999, FIRST, a, b, c, d, e, 15);                                       \
        ROUND(CHOOSE, 0x5a827999, LATER, e, a, b, c, d, 16);                                       \
        ROUND(CHOOSE, 0x5a827999, LATER, d, e, a, b, c, 17);                                       \
        ROUND(CHOOSE, 0x5a827999, LATER, c, d, e, a, b, 18);                                       \
        ROUND(CHOOSE, 0x5a827999, LATER, b, c, d, e, a, 19);                                       \
        TWENTY(SUM, 0x6ed9eba1, 20);                                                               \
        TWENTY(MAJORITY, 0x8f1bbcdc, 40);                                                          \
        TWENTY(SUM, 0xca62c1d6, 60);                                                               \
        s[0] += a;                                                                                 \
        s[1] += b;                                                                                 \
        s[2] += c;                                                                                 \
        s[3] += d;                                                                                 \
        s[4] += e;                                                                                 \
    } while (0)

#define LOAD_STATES()                                                                              \
    do {                                                                                           \
        for (int i = 0; i < 5; i++)                                                                \
            for (int lane = 0; lane < LANES; lane++)                                               \
                s[i][lane] = states[lane][i];                                                      \
    } while (0)

#define STORE_STATES()                                                                             \
    do {                                                                                           \
        for (int i = 0; i < 5; i++)                                                                \
            for (int lane = 0; lane < LANES; lane++)                                               \
                states[lane][i] = s[i][lane];                                                      \
    } while (0)

#endif
