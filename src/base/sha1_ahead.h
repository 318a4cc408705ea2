/*
 * SHA-1 of one message: the words of the schedule, four to a vector, are computed a block ahead of
 * the rounds, and in between them: the rounds are one long chain, and the vectors fill the time in
 * which they wait for each other. Included by the kernels alone, each for its own vectors, with
 *
 *     vector, ADD, XOR, SHIFT_LEFT, SHIFT_RIGHT    of words
 *     MIDDLE(x, y)      words 2 and 3 of x, then 0 and 1 of y
 *     LAST_THREE(x)     words 1, 2, 3 of x, then 0
 *     ONLY_FIRST(x)     three times 0, then word 0 of x
 *     LOAD(i)           words 4 i to 4 i + 3 of the block ahead
 *     STORE(i, x)       keeps x, words 4 i to 4 i + 3 with their constants, for the rounds
 *     WORD(i)           what was stored of word i of the block at hand
 */
#ifndef BASE_SHA1_AHEAD_H
#define BASE_SHA1_AHEAD_H

#include "base/sha1_kernels.h"

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define PARITY(x, y, z) ((x) ^ (y) ^ (z))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))

/* --- the schedule: w[] has the last eight vectors, k[] the constants --- */

#define TURN(x, n) XOR(SHIFT_LEFT(x, n), SHIFT_RIGHT(x, 32 - (n)))

/* Words 16 to 31 by their definition (FIPS 180-4, 6.1.2). The fourth word of a vector needs the
 * first, and gets it afterwards. */
#define NEXT(i)                                                                                    \
    do {                                                                                           \
        const vector sum = XOR(XOR(MIDDLE(w[((i) + 4) & 7], w[((i) + 5) & 7]), w[((i) + 4) & 7]),  \
                               XOR(w[((i) + 6) & 7], LAST_THREE(w[((i) + 7) & 7])));               \
        const vector alone = ONLY_FIRST(sum);                                                      \
        w[(i) & 7] = XOR(TURN(sum, 1), TURN(alone, 2));                                            \
    } while (0)

/* From word 32 on, the definition put into itself: word t is the sum of words t - 6, t - 16, t - 28
 * and t - 32, turned by 2. */
#define LATER(i)                                                                                   \
    do {                                                                                           \
        const vector sum = XOR(XOR(MIDDLE(w[((i) + 6) & 7], w[((i) + 7) & 7]), w[((i) + 4) & 7]),  \
                               XOR(w[((i) + 1) & 7], w[(i) & 7]));                                 \
        w[(i) & 7] = TURN(sum, 2);                                                                 \
    } while (0)

/* Words 4 i to 4 i + 3. */
#define SCHEDULE(i)                                                                                \
    do {                                                                                           \
        if ((i) < 4)                                                                               \
            w[(i) & 7] = LOAD((i) & 3);                                                            \
        else if ((i) < 8)                                                                          \
            NEXT(i);                                                                               \
        else                                                                                       \
            LATER(i);                                                                              \
        STORE(i, ADD(w[(i) & 7], k[(i) / 5]));                                                     \
    } while (0)

#define SCHEDULE_FIVE(i)                                                                           \
    do {                                                                                           \
        SCHEDULE(i);                                                                               \
        SCHEDULE((i) + 1);                                                                         \
        SCHEDULE((i) + 2);                                                                         \
        SCHEDULE((i) + 3);                                                                         \
        SCHEDULE((i) + 4);                                                                         \
    } while (0)

#define SCHEDULE_ALL()                                                                             \
    do {                                                                                           \
        SCHEDULE_FIVE(0);                                                                          \
        SCHEDULE_FIVE(5);                                                                          \
        SCHEDULE_FIVE(10);                                                                         \
        SCHEDULE_FIVE(15);                                                                         \
    } while (0)

/* --- the rounds --- */

/* A round; the five working variables are named anew instead of moved. The sum with a comes last:
 * it is what the next round waits for. */
#define ROUND(F, a, b, c, d, e, i)                                                                 \
    do {                                                                                           \
        e += F(b, c, d) + WORD(i);                                                                 \
        e += ROTATE(a, 5);                                                                         \
        b = ROTATE(b, 30);                                                                         \
    } while (0)

/* Rounds 4 i to 4 i + 3. */
#define FOUR(F, AFTER, a, b, c, d, e, i)                                                           \
    do {                                                                                           \
        ROUND(F, a, b, c, d, e, 4 * (i));                                                          \
        ROUND(F, e, a, b, c, d, 4 * (i) + 1);                                                      \
        ROUND(F, d, e, a, b, c, 4 * (i) + 2);                                                      \
        ROUND(F, c, d, e, a, b, 4 * (i) + 3);                                                      \
        AFTER(i);                                                                                  \
    } while (0)

#define TWENTY(F, AFTER, i)                                                                        \
    do {                                                                                           \
        FOUR(F, AFTER, a, b, c, d, e, (i));                                                        \
        FOUR(F, AFTER, b, c, d, e, a, (i) + 1);                                                    \
        FOUR(F, AFTER, c, d, e, a, b, (i) + 2);                                                    \
        FOUR(F, AFTER, d, e, a, b, c, (i) + 3);                                                    \
        FOUR(F, AFTER, e, a, b, c, d, (i) + 4);                                                    \
    } while (0)

/* All rounds of a block on the state s[5]; AFTER(i) is done after every fourth. */
#define ALL_ROUNDS(AFTER)                                                                          \
    do {                                                                                           \
        uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4];                                 \
        TWENTY(CHOOSE, AFTER, 0);                                                                  \
        TWENTY(PARITY, AFTER, 5);                                                                  \
        TWENTY(MAJORITY, AFTER, 10);                                                               \
        TWENTY(PARITY, AFTER, 15);                                                                 \
        s[0] += a;                                                                                 \
        s[1] += b;                                                                                 \
        s[2] += c;                                                                                 \
        s[3] += d;                                                                                 \
        s[4] += e;                                                                                 \
    } while (0)

#endif
