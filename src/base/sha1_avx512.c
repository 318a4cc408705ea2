/* Sixteen lanes in AVX-512's vectors, which rotate and join three numbers in one instruction. */
#include "base/sha1_kernels.h"

#if defined(__x86_64__)

#define LANES 16
#define ROTATE(x, n) ((word)_mm512_rol_epi32((__m512i)(x), n))
#define CHOOSE(x, y, z) TERNARY(x, y, z, 0xca)
#define MAJORITY(x, y, z) TERNARY(x, y, z, 0xe8)
#define SUM(x, y, z) TERNARY(x, y, z, 0x96)

#include "base/sha1_lanes.h"
#include "base/sha_lanes_avx512.h"

__attribute__((target("avx512f,avx512bw"))) void
sha1_avx512_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    const __m512i swap = SWAP_BYTES;
    word s[5], w[16];

    LOAD_STATES();
    for (size_t at = 0; count > 0; count--, at += 64) {
        LOAD_BLOCKS();
        ALL_ROUNDS();
    }
    STORE_STATES();
}

#else

void sha1_avx512_compress(uint32_t *const states[], const unsigned char *const data[],
                          size_t count)
{
    (void)states;
    (void)data;
    (void)count;
}

#endif
