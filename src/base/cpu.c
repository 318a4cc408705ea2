#include "base/cpu.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "base/quote.h"
#include "base/str.h"

static const struct {
    const char *name;
    unsigned feature;
} names[] = {
    {"generic", 0}, {"sse2", CPU_SSE2}, {"avx2", CPU_AVX2}, {"avx512", CPU_AVX512},
    {"sha", CPU_SHA},         {"arm-sha", CPU_ARM_SHA}, {"arm-aes", CPU_ARM_AES},
};

static bool is_asked;
static unsigned usable;

#if defined(__x86_64__)

#include <cpuid.h>

/* Bits of the state components that the kernel saves (XCR0). */
enum { SAVES_AVX = 0x06, SAVES_AVX512 = 0xe6 };

static bool system_saves(unsigned components)
{
    unsigned low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    return (low & components) == components;
}

static unsigned query_cpu(void)
{
    const unsigned ssse3 = 1U << 9, sse41 = 1U << 19, osxsave = 1U << 27; /* leaf 1, ecx */
    const unsigned avx2 = 1U << 3 | 1U << 5 | 1U << 8; /* leaf 7, ebx; with BMI 1 and 2 */
    const unsigned avx512f = 1U << 16, sha = 1U << 29, avx512bw = 1U << 30;
    unsigned features = CPU_SSE2, a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d))
        return features;
    const unsigned basic = c;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return features;
    if ((b & sha) != 0 && (basic & ssse3) != 0 && (basic & sse41) != 0)
        features |= CPU_SHA;
    if ((basic & osxsave) == 0)
        return features;
    if ((b & avx2) == avx2 && system_saves(SAVES_AVX))
        features |= CPU_AVX2;
    if ((b & avx512f) != 0 && (b & avx512bw) != 0 && system_saves(SAVES_AVX512))
        features |= CPU_AVX512;
    return features;
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

/* Asks the kernel: no other may read the processor's own registers. */
static unsigned query_cpu(void)
{
    const unsigned long aes = 1UL << 3, pmull = 1UL << 4, sha1 = 1UL << 5, sha2 = 1UL << 6;
    const unsigned long has = getauxval(AT_HWCAP);
    unsigned features = CPU_SSE2; /* vectors of 128 bits */

    if ((has & sha1) != 0 && (has & sha2) != 0)
        features |= CPU_ARM_SHA;
    if ((has & aes) != 0 && (has & pmull) != 0)
        features |= CPU_ARM_AES;
    return features;
}

#else

static unsigned query_cpu(void)
{
    return CPU_SSE2;
}

#endif

unsigned cpu_features(void)
{
    if (!is_asked)
        usable = query_cpu();
    is_asked = true;
    return usable;
}

unsigned cpu_restrict(unsigned features)
{
    usable = query_cpu() & features;
    is_asked = true;
    return usable;
}

static int refuse_cpu_word(struct str word, const char *why, struct err *e)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_USAGE,
                   CPU_TEST_VARIABLE " \"%s\": %s, want generic, or a list of sse2, avx2, "
                   "avx512, sha, arm-sha and arm-aes",
                   quote_str(quoted, word), why);
}

int cpu_load(struct err *e)
{
    struct str rest = str_of(env_get(CPU_TEST_VARIABLE));
    unsigned wanted = 0;

    if (rest.len == 0)
        return 0;
    while (rest.len > 0) {
        struct str word = str_slice(rest, 0, str_find(rest, ','));
        size_t i = 0;
        rest = str_slice(rest, word.len + 1, rest.len);
        while (i < sizeof names / sizeof *names && !str_equal(word, str_of(names[i].name)))
            i++;
        if (i == sizeof names / sizeof *names)
            return refuse_cpu_word(word, "no such word", e);
        if ((query_cpu() & names[i].feature) != names[i].feature)
            return refuse_cpu_word(word, "this processor lacks it", e);
        wanted |= names[i].feature;
    }
    cpu_restrict(wanted);
    return 0;
}
