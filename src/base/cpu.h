/*
 * Finds the instructions beyond the baseline that this processor and this kernel allow, once. The
 * program runs on any x86-64, or any ARMv8: code for such instructions is compiled function by
 * function.
 */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include "base/err.h"

/* A test names those that may be used in this variable, such as "avx2" or "sha,avx2"; "generic" is
 * none of them. */
#define CPU_TEST_VARIABLE "KACHERY_RESOURCE_TEST_CPU"

enum cpu_feature {
    CPU_SSE2 = 1, /* vectors of 128 bits: part of the baseline where there are any */
    CPU_AVX2 = 2,   /* with BMI 1 and 2 */
    CPU_AVX512 = 4, /* F and BW */
    CPU_SHA = 8,    /* the SHA extensions, with SSSE3 and SSE4.1 */
    CPU_ARM_SHA = 16, /* SHA-1 and SHA-256 of ARMv8 */
    CPU_ARM_AES = 32  /* AES and PMULL of ARMv8 */
};

/* Returns the features that may be used, as a sum of enum cpu_feature. */
unsigned cpu_features(void);

/* Uses only the `features` that the processor has, for tests; returns cpu_features(). */
unsigned cpu_restrict(unsigned features);

/* Restricts the features to those of the variable. ERR_USAGE where it has a word that is none of
 * them, or that this processor lacks: a test would else try something else than it says. */
int cpu_load(struct err *e) ERR_CHECKED;

#endif
