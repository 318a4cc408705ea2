/* What all fuzz targets share. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

/* A broken promise: the input is kept by the fuzzer. */
#define require(claim) ((claim) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #claim))

static inline void fuzz_fail(const char *file, int line, const char *claim)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, claim);
    abort();
}

/* Takes one byte off the input, 0 when there is none. */
static inline unsigned fuzz_take(struct str *input)
{
    unsigned byte = input->len == 0 ? 0 : (unsigned char)input->p[0];

    *input = str_slice(*input, 1, input->len);
    return byte;
}

/* The next of a row of piece sizes that a seed starts: mostly a few bytes, now and then many. */
static inline size_t fuzz_piece(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 28) == 0 ? *seed >> 20 & 0xff : 1 + (*seed >> 24 & 7);
}

/* libFuzzer calls it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
