/* SHA-1's compression function, one message or several at a time; used by sha1.c alone. */
#ifndef BASE_SHA1_KERNELS_H
#define BASE_SHA1_KERNELS_H

#include "base/sha_kernels.h"

/* In plain C. The second's vectors of 128 bits are compiled to what the baseline has. */
sha_compress sha1_portable_compress; /* 1 lane */
sha_compress sha1_sse2_compress;     /* 4 lanes */

/* Where the processor has the instructions, of one message; the words of the schedule are computed
 * in vectors, a block ahead of the rounds. */
sha_compress sha1_sse2_compress_one;
sha_compress sha1_avx2_compress_one;

/* Only where cpu_features has the instructions; elsewhere they do nothing. */
sha_compress sha1_avx2_compress;   /* 8 lanes */
sha_compress sha1_avx512_compress; /* 16 lanes */
sha_compress sha1_ni_compress;     /* 1 lane */
sha_compress sha1_arm_compress;    /* 1 lane */

#endif
