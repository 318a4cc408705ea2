/* Four lanes, in the vectors that every x86-64 (SSE2) and every ARMv8 has. */
#include "base/sha256_lanes.h"
#include "base/sha_lanes_sse2.h"

void sha256_sse2_compress(uint32_t *const states[], const unsigned char *const data[],
                          size_t count)
{
    word s[8], w[16], k[64]; /* the constants are spread once: so they are operands in memory */

    LOAD_STATES();
    for (int i = 0; i < 64; i++)
        k[i] = (word){0} + sha256_kernels_constants[i];
    for (size_t at = 0; count > 0; count--, at += 64) {
        LOAD_BLOCKS();
        ALL_ROUNDS();
    }
    STORE_STATES();
}
