/* Four lanes, in the vectors that every x86-64 (SSE2) and every ARMv8 has. */
#include "base/sha1_lanes.h"
#include "base/sha_lanes_sse2.h"

void sha1_sse2_compress(uint32_t *const states[], const unsigned char *const data[], size_t count)
{
    word s[5], w[16];

    LOAD_STATES();
    for (size_t at = 0; count > 0; count--, at += 64) {
        LOAD_BLOCKS();
        ALL_ROUNDS();
    }
    STORE_STATES();
}
