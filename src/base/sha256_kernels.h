/* SHA-256's compression function, one message or several at a time; used by sha256.c alone. */
#ifndef BASE_SHA256_KERNELS_H
#define BASE_SHA256_KERNELS_H

#include "base/sha_kernels.h"

/* In plain C, whose vectors of 128 bits the compiler makes of what the baseline has. */
sha_compress sha256_sse2_compress; /* 4 lanes */

/* Where the processor has the instructions, of one message; the words of the schedule are computed
 * in vectors, a block ahead of the rounds. */
sha_compress sha256_sse2_compress_one;
sha_compress sha256_avx2_compress_one;

/* Only where cpu_features has the instructions; elsewhere they do nothing. */
sha_compress sha256_avx2_compress;   /* 8 lanes */
sha_compress sha256_avx512_compress; /* 16 lanes */
sha_compress sha256_ni_compress;     /* 1 lane */
sha_compress sha256_ni_compress_two; /* 2 lanes, in turn: each fills the other's waiting */
sha_compress sha256_arm_compress;    /* 1 lane */

/* The round constants of FIPS 180-4, 4.2.2. */
extern const uint32_t sha256_kernels_constants[64];

#endif
