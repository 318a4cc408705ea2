/* With the SHA instructions of ARMv8, one message. */
#include "base/sha1_kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* Four rounds with the message words in w0; F is the instruction for their round function. E is
 * the A of four rounds before, rotated. */
#define ROUNDS(F, w0, k)                                                                           \
    do {                                                                                           \
        const uint32_t next = vsha1h_u32(vgetq_lane_u32(abcd, 0));                                 \
        abcd = F(abcd, e, vaddq_u32(w0, k));                                                       \
        e = next;                                                                                  \
    } while (0)

/* The four words that follow w0 to w3 in the message schedule, in place of w0, and their rounds. */
#define NEXT(F, w0, w1, w2, w3, k)                                                                 \
    do {                                                                                           \
        w0 = vsha1su1q_u32(vsha1su0q_u32(w0, w1, w2), w3);                                         \
        ROUNDS(F, w0, k);                                                                          \
    } while (0)

#define LOAD(i) vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * (i))))

__attribute__((target("+crypto"))) void
sha1_arm_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const uint32x4_t k0 = vdupq_n_u32(0x5a827999), k1 = vdupq_n_u32(0x6ed9eba1);
    const uint32x4_t k2 = vdupq_n_u32(0x8f1bbcdc), k3 = vdupq_n_u32(0xca62c1d6);
    const unsigned char *p = data[0];
    uint32x4_t abcd = vld1q_u32(states[0]);
    uint32_t e = states[0][4];

    for (; count > 0; count--, p += 64) {
        const uint32x4_t first_abcd = abcd;
        const uint32_t first_e = e;
        uint32x4_t w0 = LOAD(0), w1 = LOAD(1), w2 = LOAD(2), w3 = LOAD(3);

        ROUNDS(vsha1cq_u32, w0, k0);
        ROUNDS(vsha1cq_u32, w1, k0);
        ROUNDS(vsha1cq_u32, w2, k0);
        ROUNDS(vsha1cq_u32, w3, k0);
        NEXT(vsha1cq_u32, w0, w1, w2, w3, k0);
        NEXT(vsha1pq_u32, w1, w2, w3, w0, k1);
        NEXT(vsha1pq_u32, w2, w3, w0, w1, k1);
        NEXT(vsha1pq_u32, w3, w0, w1, w2, k1);
        NEXT(vsha1pq_u32, w0, w1, w2, w3, k1);
        NEXT(vsha1pq_u32, w1, w2, w3, w0, k1);
        NEXT(vsha1mq_u32, w2, w3, w0, w1, k2);
        NEXT(vsha1mq_u32, w3, w0, w1, w2, k2);
        NEXT(vsha1mq_u32, w0, w1, w2, w3, k2);
        NEXT(vsha1mq_u32, w1, w2, w3, w0, k2);
        NEXT(vsha1mq_u32, w2, w3, w0, w1, k2);
        NEXT(vsha1pq_u32, w3, w0, w1, w2, k3);
        NEXT(vsha1pq_u32, w0, w1, w2, w3, k3);
        NEXT(vsha1pq_u32, w1, w2, w3, w0, k3);
        NEXT(vsha1pq_u32, w2, w3, w0, w1, k3);
        NEXT(vsha1pq_u32, w3, w0, w1, w2, k3);
        abcd = vaddq_u32(abcd, first_abcd);
        e += first_e;
    }
    vst1q_u32(states[0], abcd);
    states[0][4] = e;
}

#else

void sha1_arm_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
