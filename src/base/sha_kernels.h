/*
 * The compression functions of a hash, kernels, and the choice between them at run time: some take
 * one message as fast as they can, others take several side by side, in the lanes of vector
 * registers. Used by sha1.c and sha256.c alone.
 */
#ifndef BASE_SHA_KERNELS_H
#define BASE_SHA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Takes `count` blocks of 64 bytes, 1 at least, from each of data[] into the state of the same
 * lane. */
typedef void sha_compress(uint32_t *const states[], const unsigned char *const data[],
                          size_t count);

enum { SHA_KERNELS_LANES = 16 }; /* the most that a kernel has */

struct sha_kernel {
    unsigned feature; /* needs these (base/cpu.h) */
    unsigned lanes;
    /* The time that a pass takes, whether its lanes are used or not, relative to the others. */
    unsigned cost;
    sha_compress *compress;
};

/* A hash's kernels, of which one needs no feature. */
struct sha_kernels {
    const struct sha_kernel *items;
    size_t count;
};

/* Returns the kernel that hashes `count` messages of one length in the shortest time. */
const struct sha_kernel *sha_kernels_choose(const struct sha_kernels *kernels, size_t count);

/* Whole blocks of one message. */
struct sha_blocks {
    uint32_t *state;
    const unsigned char *data;
    size_t count;
};

/* Takes the blocks of up to SHA_KERNELS_LANES messages into their states; blocks[] is changed. */
void sha_kernels_run(const struct sha_kernels *kernels, struct sha_blocks *blocks, size_t count);

#endif
