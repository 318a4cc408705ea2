/* Four lanes, in the vectors that every x86-64 (SSE2) and every ARMv8 has. */
#define LANES 4
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define SUM(x, y, z) ((x) ^ (y) ^ (z))
#define CONSTANT(i) k[i]

#include "base/sha256_lanes.h"

typedef uint32_t word __attribute__((vector_size(4 * LANES)));

static uint32_t get_be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void sha256_sse2_compress(uint32_t *const states[], const unsigned char *const data[],
                          size_t count)
{
    word s[8], w[16], k[64]; /* the constants are spread once: so they are operands in memory */

    LOAD_STATES();
    for (int i = 0; i < 64; i++)
        k[i] = (word){0} + sha256_kernels_constants[i];
    for (size_t at = 0; count > 0; count--, at += 64) {
        for (int i = 0; i < 16; i++)
            w[i] = (word){get_be32(data[0] + at + 4 * i), get_be32(data[1] + at + 4 * i),
                          get_be32(data[2] + at + 4 * i), get_be32(data[3] + at + 4 * i)};
        ALL_ROUNDS();
    }
    STORE_STATES();
}
