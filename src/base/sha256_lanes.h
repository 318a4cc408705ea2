/*
 * The rounds of SHA-256 on vectors, one message in each lane; included by the kernels alone, each
 * for its own width. The includer defines LANES, unless it has 4. It may define ROTATE, CHOOSE,
 * MAJORITY, SUM (three numbers modulo 2) and CONSTANT, which gives the constant of a round, if its
 * vectors have better instructions. Otherwise CONSTANT reads k[64], a variable of the includer.
 */
#ifndef BASE_SHA256_LANES_H
#define BASE_SHA256_LANES_H

#include "base/sha256_kernels.h"

#ifndef LANES
#define LANES 4
#endif

typedef uint32_t word __attribute__((vector_size(4 * LANES)));

#ifndef ROTATE
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
/* The second factor is the first one of the round before: the compiler keeps it. */
#define MAJORITY(x, y, z) ((y) ^ (((x) ^ (y)) & ((y) ^ (z))))
#define SUM(x, y, z) ((x) ^ (y) ^ (z))
#define CONSTANT(i) k[i]
#endif

#define BIG_SIGMA_0(x) SUM(ROTATE(x, 2), ROTATE(x, 13), ROTATE(x, 22))
#define BIG_SIGMA_1(x) SUM(ROTATE(x, 6), ROTATE(x, 11), ROTATE(x, 25))
#define SMALL_SIGMA_0(x) SUM(ROTATE(x, 7), ROTATE(x, 18), (x) >> 3)
#define SMALL_SIGMA_1(x) SUM(ROTATE(x, 17), ROTATE(x, 19), (x) >> 10)

/* A round; the eight working variables are named anew instead of moved. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                           \
    do {                                                                                           \
        const word t1 = h + BIG_SIGMA_1(e) + CHOOSE(e, f, g) + (w[(i) & 15] + CONSTANT(i));        \
        d += t1;                                                                                   \
        h = t1 + BIG_SIGMA_0(a) + MAJORITY(a, b, c);                                               \
    } while (0)

#define SCHEDULE(i)                                                                                \
    w[(i) & 15] += SMALL_SIGMA_1(w[((i) + 14) & 15]) + w[((i) + 9) & 15] +                         \
                   SMALL_SIGMA_0(w[((i) + 1) & 15])

#define SCHEDULED_ROUND(a, b, c, d, e, f, g, h, i)                                                 \
    do {                                                                                           \
        SCHEDULE(i);                                                                               \
        ROUND(a, b, c, d, e, f, g, h, i);                                                          \
    } while (0)

#define EIGHT(R, i)                                                                                \
    do {                                                                                           \
        R(a, b, c, d, e, f, g, h, (i));                                                            \
        R(h, a, b, c, d, e, f, g, (i) + 1);                                                        \
        R(g, h, a, b, c, d, e, f, (i) + 2);                                                        \
        R(f, g, h, a, b, c, d, e, (i) + 3);                                                        \
        R(e, f, g, h, a, b, c, d, (i) + 4);                                                        \
        R(d, e, f, g, h, a, b, c, (i) + 5);                                                        \
        R(c, d, e, f, g, h, a, b, (i) + 6);                                                        \
        R(b, c, d, e, f, g, h, a, (i) + 7);                                                        \
    } while (0)

/* All rounds of one block, whose words are in w[16], on the state s[8]. */
#define ALL_ROUNDS()                                                                               \
    do {                                                                                           \
        word a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];       \
        EIGHT(ROUND, 0);                                                                           \
        EIGHT(ROUND, 8);                                                                           \
        for (int i = 16; i < 64; i += 16) {                                                        \
            EIGHT(SCHEDULED_ROUND, i);                                                             \
            EIGHT(SCHEDULED_ROUND, i + 8);                                                         \
        }                                                                                          \
        s[0] += a;                                                                                 \
        s[1] += b;                                                                                 \
        s[2] += c;                                                                                 \
        s[3] += d;                                                                                 \
        s[4] += e;                                                                                 \
        s[5] += f;                                                                                 \
        s[6] += g;                                                                                 \
        s[7] += h;                                                                                 \
    } while (0)

#define LOAD_STATES()                                                                              \
    do {                                                                                           \
        for (int i = 0; i < 8; i++)                                                                \
            for (int lane = 0; lane < LANES; lane++)                                               \
                s[i][lane] = states[lane][i];                                                      \
    } while (0)

#define STORE_STATES()                                                                             \
    do {                                                                                           \
        for (int i = 0; i < 8; i++)                                                                \
            for (int lane = 0; lane < LANES; lane++)                                               \
                states[lane][i] = s[i][lane];                                                      \
    } while (0)

#endif
