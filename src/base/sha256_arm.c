/* With the SHA instructions of ARMv8, one message. */
#include "base/sha256_kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* Rounds i to i + 3, with the message words in w0. */
#define ROUNDS(w0, i)                                                                              \
    do {                                                                                           \
        const uint32x4_t wk = vaddq_u32(w0, vld1q_u32(sha256_kernels_constants + (i)));            \
        const uint32x4_t before = abcd;                                                            \
        abcd = vsha256hq_u32(abcd, efgh, wk);                                                      \
        efgh = vsha256h2q_u32(efgh, before, wk);                                                   \
    } while (0)

/* The four words that follow w0 to w3 in the message schedule, in place of w0, and their rounds. */
#define NEXT(w0, w1, w2, w3, i)                                                                    \
    do {                                                                                           \
        w0 = vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);                                     \
        ROUNDS(w0, i);                                                                             \
    } while (0)

#define LOAD(i) vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * (i))))

__attribute__((target("+crypto"))) void
sha256_arm_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const unsigned char *p = data[0];
    uint32x4_t abcd = vld1q_u32(states[0]), efgh = vld1q_u32(states[0] + 4);

    for (; count > 0; count--, p += 64) {
        const uint32x4_t first_abcd = abcd, first_efgh = efgh;
        uint32x4_t w0 = LOAD(0), w1 = LOAD(1), w2 = LOAD(2), w3 = LOAD(3);

        ROUNDS(w0, 0);
        ROUNDS(w1, 4);
        ROUNDS(w2, 8);
        ROUNDS(w3, 12);
        for (int i = 16; i < 64; i += 16) {
            NEXT(w0, w1, w2, w3, i);
            NEXT(w1, w2, w3, w0, i + 4);
            NEXT(w2, w3, w0, w1, i + 8);
            NEXT(w3, w0, w1, w2, i + 12);
        }
        abcd = vaddq_u32(abcd, first_abcd);
        efgh = vaddq_u32(efgh, first_efgh);
    }
    vst1q_u32(states[0], abcd);
    vst1q_u32(states[0] + 4, efgh);
}

#else

void sha256_arm_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
