/* Fingerprints: all kernels agree with the definition, and any change of the bytes shows. */
#include "unit.h"

#include <stdlib.h>

#include "base/cpu.h"
#include "base/fingerprint.h"
#include "base/sha256.h"

enum { LONGEST = 3 * FINGERPRINT_PIECE + 77 };

static const unsigned kernels[] = {0, CPU_SSE2, CPU_SSE2 | CPU_AVX2};
static unsigned char data[LONGEST + 8];
static struct fingerprint_key key;

static int fill(void **state)
{
    uint32_t seed = 7;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (unsigned char)(seed >> 24);
    }
    fingerprint_draw(&key);
    return 0;
}

static uint32_t word_at(const unsigned char *p, size_t len, size_t i)
{
    unsigned char bytes[4] = {0};
    uint32_t word;

    for (size_t n = 0; n < 4 && 4 * i + n < len; n++)
        bytes[n] = p[4 * i + n];
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* As UMAC defines it, word by word. */
static void by_definition(const unsigned char *p, size_t len, unsigned char out[SHA256_SIZE])
{
    const uint64_t count = len;
    struct sha256 h;

    sha256_init(&h);
    sha256_update(&h, &count, sizeof count);
    for (size_t at = 0; at < len; at += FINGERPRINT_PIECE) {
        size_t piece = len - at < FINGERPRINT_PIECE ? len - at : FINGERPRINT_PIECE;
        uint64_t sums[FINGERPRINT_TIMES] = {0};
        for (size_t t = 0; t < FINGERPRINT_TIMES; t++)
            for (size_t i = 0; 4 * i < (piece + 31) / 32 * 32; i += 2) {
                const uint32_t *k = key.words + t * FINGERPRINT_SHIFT + i;
                uint32_t x = word_at(p + at, piece, i) + k[0];
                uint32_t y = word_at(p + at, piece, i + 1) + k[1];
                sums[t] += (uint64_t)x * y;
            }
        sha256_update(&h, sums, sizeof sums);
    }
    sha256_final(&h, out);
}

static void kernels_agree(void **state)
{
    static const size_t lengths[] = {0,    1,    7,    8,    31,   32,   33,      64,
                                     4095, 8191, 8192, 8193, 8224, 9000, LONGEST, 16384};
    unsigned char want[SHA256_SIZE], got[FINGERPRINT_SIZE];

    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(lengths); n++)
        for (size_t shift = 0; shift < 8; shift++) {
            by_definition(data + shift, lengths[n], want);
            for (size_t k = 0; k < UNIT_COUNT(kernels); k++) {
                if (cpu_restrict(kernels[k]) != kernels[k])
                    continue;
                fingerprint_of(&key, (struct str){(const char *)data + shift, lengths[n]}, got);
                if (memcmp(got, want, sizeof got) != 0)
                    fail_msg("features %u: %zu bytes at %zu", kernels[k], lengths[n], shift);
            }
        }
    cpu_restrict(~0U);
}

static void a_change_shows(void **state)
{
    const struct str all = {(const char *)data, LONGEST};
    unsigned char before[FINGERPRINT_SIZE], after[FINGERPRINT_SIZE];
    struct fingerprint_key other;

    (void)state;
    fingerprint_of(&key, all, before);
    for (size_t bit = 0; bit < 8 * (size_t)LONGEST; bit += 61) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        fingerprint_of(&key, all, after);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (memcmp(before, after, sizeof after) == 0)
            fail_msg("bit %zu", bit);
    }
    fingerprint_of(&key, all, after);
    assert_memory_equal(before, after, sizeof after);
    fingerprint_draw(&other);
    fingerprint_of(&other, all, after);
    assert_memory_not_equal(before, after, sizeof after);
}

/* Zeros at the end are bytes like others. */
static void the_length_counts(void **state)
{
    static const char zeros[FINGERPRINT_PIECE + 64];
    unsigned char of[4][FINGERPRINT_SIZE];
    const size_t lengths[] = {0, 1, 2, FINGERPRINT_PIECE + 64};

    (void)state;
    for (size_t n = 0; n < UNIT_COUNT(lengths); n++)
        fingerprint_of(&key, (struct str){zeros, lengths[n]}, of[n]);
    for (size_t n = 1; n < UNIT_COUNT(lengths); n++)
        assert_memory_not_equal(of[n - 1], of[n], FINGERPRINT_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(kernels_agree, fill),
        cmocka_unit_test_setup(a_change_shows, fill),
        cmocka_unit_test_setup(the_length_counts, fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
