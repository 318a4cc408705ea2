/* Eight lanes in AVX2's vectors. */
#include "base/sha1_kernels.h"

#if defined(__x86_64__)

#define LANES 8

#include "base/sha1_lanes.h"
#include "base/sha_lanes_avx2.h"

__attribute__((target("avx2"))) void sha1_avx2_compress(uint32_t *const states[],
                                                        const unsigned char *const data[],
                                                        size_t count)
{
    const __m256i swap = SWAP_BYTES;
    word s[5], w[16];

    LOAD_STATES();
    for (size_t at = 0; count > 0; count--, at += 64) {
        LOAD_BLOCKS();
        ALL_ROUNDS();
    }
    STORE_STATES();
}

#else

void sha1_avx2_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
