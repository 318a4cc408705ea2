/*
 * SHA-256 of one message: the words of the schedule, four to a vector, are computed a block ahead
 * of the rounds, and in between them: the rounds are one long chain, and the vectors fill the time
 * in which they wait for each other. Included by the kernels alone, each for its own vectors, with
 *
 *     vector, ADD, XOR                 of words
 *     SHIFT_LEFT, SHIFT_RIGHT          of words
 *     SHIFT_PAIR_RIGHT(x, n)           of words 1 and 0 as one number, and of words 3 and 2
 *     NEXT_FOUR(x, y)                  words 1, 2, 3 of x, then 0 of y
 *     TWICE_LOW(x), TWICE_HIGH(x)      words 0, 0, 1, 1 of x, and 2, 2, 3, 3
 *     TO_LOW(x), TO_HIGH(x)            words 0 and 2 of x and two zeros, in this order or the other
 *     LOAD(i)                          words 4 i to 4 i + 3 of the block ahead
 *     CONSTANTS(i)                     the constants of rounds 4 i to 4 i + 3
 *     STORE(i, x)                      keeps x, words 4 i to 4 i + 3 with their constants
 *     WORD(i)                          what was stored of word i of the block at hand
 */
#ifndef BASE_SHA256_AHEAD_H
#define BASE_SHA256_AHEAD_H

#include "base/sha256_kernels.h"

/* --- the schedule: w[] has the last four vectors --- */

#define TURN(x, n) XOR(SHIFT_RIGHT(x, n), SHIFT_LEFT(x, 32 - (n)))
#define SMALL_SIGMA_0(x) XOR(XOR(TURN(x, 7), TURN(x, 18)), SHIFT_RIGHT(x, 3))

/* In words 0 and 2, of numbers that are there twice: so a shift of a pair turns them. */
#define SMALL_SIGMA_1(x)                                                                           \
    XOR(XOR(SHIFT_PAIR_RIGHT(x, 17), SHIFT_PAIR_RIGHT(x, 19)), SHIFT_RIGHT(x, 10))

/* Words 4 i to 4 i + 3 (FIPS 180-4, 6.2.2). The last two need the first two. */
#define NEXT(i)                                                                                    \
    do {                                                                                           \
        const vector later = NEXT_FOUR(w[(i) & 3], w[((i) + 1) & 3]);                              \
        const vector middle = NEXT_FOUR(w[((i) + 2) & 3], w[((i) + 3) & 3]);                       \
        const vector last = TWICE_HIGH(w[((i) + 3) & 3]);                                          \
        const vector sum = ADD(ADD(w[(i) & 3], middle), SMALL_SIGMA_0(later));                     \
        const vector half = ADD(sum, TO_LOW(SMALL_SIGMA_1(last)));                                 \
        const vector early = TWICE_LOW(half);                                                      \
        w[(i) & 3] = ADD(half, TO_HIGH(SMALL_SIGMA_1(early)));                                     \
    } while (0)

#define SCHEDULE(i)                                                                                \
    do {                                                                                           \
        if ((i) < 4)                                                                               \
            w[(i) & 3] = LOAD((i) & 3);                                                            \
        else                                                                                       \
            NEXT(i);                                                                               \
        STORE(i, ADD(w[(i) & 3], CONSTANTS(i)));                                                   \
    } while (0)

#define SCHEDULE_FOUR(i)                                                                           \
    do {                                                                                           \
        SCHEDULE(i);                                                                               \
        SCHEDULE((i) + 1);                                                                         \
        SCHEDULE((i) + 2);                                                                         \
        SCHEDULE((i) + 3);                                                                         \
    } while (0)

#define SCHEDULE_ALL()                                                                             \
    do {                                                                                           \
        SCHEDULE_FOUR(0);                                                                          \
        SCHEDULE_FOUR(4);                                                                          \
        SCHEDULE_FOUR(8);                                                                          \
        SCHEDULE_FOUR(12);                                                                         \
    } while (0)

/* --- the rounds --- */

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
/* The second factor is the first one of the round before: the compiler keeps it. */
#define MAJORITY(x, y, z) ((y) ^ (((x) ^ (y)) & ((y) ^ (z))))
#define BIG_SIGMA_0(x) (ROTATE(x, 2) ^ ROTATE(x, 13) ^ ROTATE(x, 22))
#define BIG_SIGMA_1(x) (ROTATE(x, 6) ^ ROTATE(x, 11) ^ ROTATE(x, 25))

/* A round; the eight working variables are named anew instead of moved. The sum with e comes last:
 * it is what the next round waits for. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                           \
    do {                                                                                           \
        h += WORD(i) + CHOOSE(e, f, g);                                                            \
        h += BIG_SIGMA_1(e);                                                                       \
        d += h;                                                                                    \
        h += MAJORITY(a, b, c);                                                                    \
        h += BIG_SIGMA_0(a);                                                                       \
    } while (0)

/* Rounds 8 i to 8 i + 7. */
#define EIGHT(AFTER, i)                                                                            \
    do {                                                                                           \
        ROUND(a, b, c, d, e, f, g, h, 8 * (i));                                                    \
        ROUND(h, a, b, c, d, e, f, g, 8 * (i) + 1);                                                \
        ROUND(g, h, a, b, c, d, e, f, 8 * (i) + 2);                                                \
        ROUND(f, g, h, a, b, c, d, e, 8 * (i) + 3);                                                \
        AFTER(2 * (i));                                                                            \
        ROUND(e, f, g, h, a, b, c, d, 8 * (i) + 4);                                                \
        ROUND(d, e, f, g, h, a, b, c, 8 * (i) + 5);                                                \
        ROUND(c, d, e, f, g, h, a, b, 8 * (i) + 6);                                                \
        ROUND(b, c, d, e, f, g, h, a, 8 * (i) + 7);                                                \
        AFTER(2 * (i) + 1);                                                                        \
    } while (0)

/* All rounds of a block on the state s[8]; AFTER(i) is done after every fourth. */
#define ALL_ROUNDS(AFTER)                                                                          \
    do {                                                                                           \
        uint32_t a = s[0], b = s[1], c = s[2], d = s[3];                                           \
        uint32_t e = s[4], f = s[5], g = s[6], h = s[7];                                           \
        EIGHT(AFTER, 0);                                                                           \
        EIGHT(AFTER, 1);                                                                           \
        EIGHT(AFTER, 2);                                                                           \
        EIGHT(AFTER, 3);                                                                           \
        EIGHT(AFTER, 4);                                                                           \
        EIGHT(AFTER, 5);                                                                           \
        EIGHT(AFTER, 6);                                                                           \
        EIGHT(AFTER, 7);                                                                           \
        s[0] += a;                                                                                 \
        s[1] += b;                                                                                 \
        s[2] += c;                                                                                 \
        s[3] += d;                                                                                 \
        s[4] += e;                                                                                 \
        s[5] += f;                                                                                 \
        s[6] += g;                                                                                 \
        s[7] += h;                                                                                 \
    } while (0)

#endif
