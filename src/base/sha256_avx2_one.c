/* One message, the schedules of two blocks at a time in AVX2's vectors; BMI2 has the rotation that
 * needs no copy. */
#include "base/sha256_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

typedef __m256i vector;

#define ADD(x, y) _mm256_add_epi32(x, y)
#define XOR(x, y) _mm256_xor_si256(x, y)
#define SHIFT_LEFT(x, n) _mm256_slli_epi32(x, n)
#define SHIFT_RIGHT(x, n) _mm256_srli_epi32(x, n)
#define SHIFT_PAIR_RIGHT(x, n) _mm256_srli_epi64(x, n)
#define NEXT_FOUR(x, y) _mm256_alignr_epi8(y, x, 4)
#define TWICE_LOW(x) _mm256_shuffle_epi32(x, 0x50)
#define TWICE_HIGH(x) _mm256_shuffle_epi32(x, 0xfa)
#define TO_LOW(x) _mm256_shuffle_epi8(x, to_low)
#define TO_HIGH(x) _mm256_shuffle_epi8(x, to_high)
#define LOAD_HALF(p, i) _mm_loadu_si128((const __m128i *)(const void *)(p) + (i))
#define LOAD(i)                                                                                    \
    _mm256_shuffle_epi8(_mm256_set_m128i(LOAD_HALF(second, i), LOAD_HALF(first, i)), swap)
#define CONSTANTS(i) _mm256_broadcastsi128_si256(LOAD_HALF(sha256_kernels_constants, i))
#define STORE(i, x) _mm256_store_si256((__m256i *)(void *)then + (i), x)
#define WORD(i) now[(i) / 4 * 8 + (i) % 4]

#include "base/sha256_ahead.h"

/* Half of the schedule of the next two blocks beside each of these. */
#define AFTER_FIRST(i)                                                                             \
    do {                                                                                           \
        if ((i) % 2 == 1)                                                                          \
            SCHEDULE((i) / 2);                                                                     \
    } while (0)
#define AFTER_SECOND(i)                                                                            \
    do {                                                                                           \
        if ((i) % 2 == 1)                                                                          \
            SCHEDULE((i) / 2 + 8);                                                                 \
    } while (0)

#define BOTH_HALVES(high, low) _mm256_set_epi64x(high, low, high, low)

__attribute__((target("avx2,bmi,bmi2"))) void
sha256_avx2_compress_one(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const __m256i swap = BOTH_HALVES(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m256i to_low = BOTH_HALVES(-1, 0x0b0a090803020100);
    const __m256i to_high = BOTH_HALVES(0x0b0a090803020100, -1);
    __attribute__((aligned(32))) uint32_t stored[2][128];
    uint32_t *const s = states[0], *now = stored[1], *then = stored[0];
    const unsigned char *first = data[0], *second = first + (count > 1 ? 64 : 0);
    __m256i w[4];

    SCHEDULE_ALL();
    while (count > 0) {
        uint32_t *const done = now;
        now = then;
        then = done;
        /* Where no more blocks follow, what is computed ahead is not used. */
        first += count > 2 ? 128 : 0;
        second = first + (count > 3 ? 64 : 0);
        ALL_ROUNDS(AFTER_FIRST);
        if (count == 1)
            break;
        now += 4;
        ALL_ROUNDS(AFTER_SECOND);
        now -= 4;
        count -= 2;
    }
}

#else

void sha256_avx2_compress_one(uint32_t *const states[], const unsigned char *const data[],
                              size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
