/* SHA-1: published vectors, every way to cut the input, and all kernels compared; that of the SHA
 * instructions also where the processor has none, with the instructions written out in C. */
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hex.h"
#include "base/sha1.h"
#include "base/sha1_kernels.h"
#include "unit.h"

/* FIPS 180 examples, and messages of NIST's SHA1ShortMsg.rsp. */
static const struct {
    const char *name, *hex, *digest;
} vectors[] = {
    {"empty", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {"abc", "616263", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {"56 bytes: padding takes a second block",
     "6162636462636465636465666465666765666768666768696768696a68696a6b696a6b6c6a6b6c6d6b6c6d6e"
     "6c6d6e6f6d6e6f706e6f7071",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    {"112 bytes",
     "61626364656667686263646566676869636465666768696a6465666768696a6b65666768696a6b6c66676869"
     "6a6b6c6d6768696a6b6c6d6e68696a6b6c6d6e6f696a6b6c6d6e6f706a6b6c6d6e6f70716b6c6d6e6f707172"
     "6c6d6e6f707172736d6e6f70717273746e6f707172737475",
     "a49b2446a02c645bf419f995b67091253a04a259"},
    {"NIST 8 bits", "36", "c1dfd96eea8cc2b62785275bca38ac261256e278"},
    {"NIST 16 bits", "195a", "0a1c2d555bbe431ad6288af5a54f93e0449c9232"},
    {"NIST 24 bits", "df4bd2", "bf36ed5d74727dfd5d7854ec6b1d49468d8ee8aa"},
    {"NIST 32 bits", "549e959e", "b78bae6d14338ffccfd5d5b5674a275f6ef9c717"},
    {"NIST 40 bits", "f7fb1be205", "60b7d5bb560a1acf6fa45721bd0abb419a841a89"},
    {"NIST 48 bits", "c0e5abeaea63", "a6d338459780c08363090fd8fc7d28dc80e8e01f"},
    {"NIST 56 bits", "63bfc1ed7f78ab", "860328d80509500c1783169ebf0ba0c4b94da5e5"},
    {"NIST 64 bits", "7e3d7b3eada98866", "24a2c34b976305277ce58c2f42d5092031572520"},
};

static unsigned sets[] = {0, CPU_SSE2, CPU_SSE2 | CPU_AVX2, CPU_SSE2 | CPU_AVX2 | CPU_AVX512,
                          CPU_SHA, CPU_ARM_SHA};

/* Skips where this processor lacks them; the others are tried there. */
static void set_cpu(void **state)
{
    const unsigned set = *(const unsigned *)*state;

    if (cpu_restrict(set) != set)
        skip();
}

static void fill(unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (unsigned char)(seed >> 24);
    }
}

static void expect_digest(const char *name, const unsigned char *data, size_t len, size_t split,
                          const char *digest)
{
    char hex[SHA1_HEX + 1];
    struct sha1 h;

    sha1_init(&h);
    sha1_update(&h, data, split);
    sha1_update(&h, data + split, len - split);
    sha1_final_hex(&h, hex);
    if (strcmp(hex, digest) != 0)
        fail_msg("%s cut at %zu: %s, want %s", name, split, hex, digest);
}

static void published_vectors(void **state)
{
    set_cpu(state);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        unsigned char data[128];
        size_t len = strlen(vectors[i].hex) / 2;
        assert_true(hex_decode(str_of(vectors[i].hex), data, len));
        for (size_t split = 0; split <= len; split++)
            expect_digest(vectors[i].name, data, len, split, vectors[i].digest);
    }
}

static void million_times_a(void **state)
{
    const char *want = "34aa973cd4c4daa4f61eeb2bdbad27316534016f";
    char hex[SHA1_HEX + 1], chunk[1000];
    struct sha1 h;

    set_cpu(state);
    memset(chunk, 'a', sizeof chunk);
    sha1_init(&h);
    for (int i = 0; i < 1000; i++)
        sha1_update(&h, chunk, sizeof chunk);
    sha1_final_hex(&h, hex);
    assert_string_equal(hex, want);
}

/* Every length up to five blocks, at every cut and byte by byte, gives what one call gives. */
static void all_cuts_agree(void **state)
{
    unsigned char data[5 * SHA1_BLOCK];

    set_cpu(state);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + 3);
    for (size_t len = 0; len <= sizeof data; len++) {
        unsigned char digest[SHA1_SIZE];
        char want[SHA1_HEX + 1], hex[SHA1_HEX + 1];
        sha1_of((struct str){(const char *)data, len}, digest);
        hex_encode(digest, SHA1_SIZE, want);
        for (size_t split = 0; split <= len; split++)
            expect_digest("counted bytes", data, len, split, want);
        struct sha1 h;
        sha1_init(&h);
        for (size_t i = 0; i < len; i++)
            sha1_update(&h, data + i, 1);
        sha1_final_hex(&h, hex);
        assert_string_equal(hex, want);
    }
}

/* As many messages as may be, in two pieces each, of all lengths around those of blocks, at every
 * alignment: each has the digest that it has alone, in plain C. */
static void many_agree_with_one(void **state)
{
    enum { MOST = 37, LONGEST = 700 };
    static unsigned char data[MOST * (LONGEST + 1)];
    struct sha1 hashes[MOST], *h[MOST];
    unsigned char many[SHA1_SIZE], one[SHA1_SIZE];
    struct str first[MOST], second[MOST];

    fill(data, sizeof data, 1);
    for (size_t count = 0; count <= MOST; count++) {
        for (size_t spread = 0; spread < 3; spread++) {
            set_cpu(state);
            for (size_t i = 0; i < count; i++) {
                const char *p = (const char *)data + i * LONGEST + i % 13;
                size_t len =
                    spread == 0 ? 640 : spread == 1 ? 50 + i : (i * i * 31 + count) % LONGEST;
                size_t cut = len * (count + i) % (len + 1);
                first[i] = (struct str){p, cut};
                second[i] = (struct str){p + cut, len - cut};
                h[i] = &hashes[i];
                sha1_init(h[i]);
            }
            sha1_update_many(h, first, count);
            sha1_update_many(h, second, count);
            for (size_t i = 0; i < count; i++) {
                set_cpu(state);
                sha1_final(h[i], many);
                cpu_restrict(0);
                sha1_of((struct str){first[i].p, first[i].len + second[i].len}, one);
                if (memcmp(one, many, SHA1_SIZE) != 0)
                    fail_msg("message %zu of %zu, %zu + %zu bytes", i, count, first[i].len,
                             second[i].len);
            }
        }
    }
}

static const struct {
    const char *name;
    unsigned feature;
    unsigned lanes;
    sha_compress *compress;
} kernels[] = {
#if defined(__x86_64__)
    {"SSE2, one", CPU_SSE2, 1, sha1_sse2_compress_one},
#endif
    {"AVX2, one", CPU_AVX2, 1, sha1_avx2_compress_one},
    {"SSE2", CPU_SSE2, 4, sha1_sse2_compress},
    {"AVX2", CPU_AVX2, 8, sha1_avx2_compress},
    {"AVX-512", CPU_AVX512, 16, sha1_avx512_compress},
    {"SHA", CPU_SHA, 1, sha1_ni_compress},
    {"ARM", CPU_ARM_SHA, 1, sha1_arm_compress},
};

/* Every kernel by itself, of every number of blocks: what the choice would leave out too. A page
 * ends behind the data: AddressSanitizer sees a kernel that reads more than it has. */
static void kernels_agree(void **state)
{
    enum { MOST = 20 };

    (void)state;
    for (size_t k = 0; k < UNIT_COUNT(kernels); k++) {
        if (cpu_restrict(kernels[k].feature) != kernels[k].feature)
            continue;
        for (size_t count = 1; count <= MOST; count++) {
            uint32_t states[16][5], want[5], *const one[] = {want}, *each[16];
            const unsigned char *from[16];
            unsigned char *data[16];
            for (unsigned i = 0; i < kernels[k].lanes; i++) {
                data[i] = malloc(64 * count + 1);
                assert_non_null(data[i]);
                fill(data[i], 64 * count + 1, i + (uint32_t)count);
                from[i] = data[i] + 1;
                each[i] = states[i];
                fill((unsigned char *)states[i], sizeof states[i], i);
            }
            kernels[k].compress(each, from, count);
            for (unsigned i = 0; i < kernels[k].lanes; i++) {
                fill((unsigned char *)want, sizeof want, i);
                sha1_portable_compress(one, &from[i], count);
                if (memcmp(want, states[i], sizeof want) != 0)
                    fail_msg("%s, lane %u, %zu blocks", kernels[k].name, i, count);
                free(data[i]);
            }
        }
    }
    cpu_restrict(~0U);
}

/* --- The SHA instructions, as Intel's manual writes them out. --- */

#if defined(__x86_64__)

#include <immintrin.h>

union words {
    __m128i v;
    uint32_t w[4];
};

static uint32_t rotate_left(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static uint32_t round_function(int kind, uint32_t b, uint32_t c, uint32_t d)
{
    switch (kind) {
    case 0:
        return ((b & c) ^ (~b & d)) + 0x5a827999;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1;
    case 2:
        return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc;
    default:
        return (b ^ c ^ d) + 0xca62c1d6;
    }
}

static __m128i soft_rounds(__m128i abcd, __m128i words, int kind)
{
    const union words state = {abcd}, we = {words};
    uint32_t a = state.w[3], b = state.w[2], c = state.w[1], d = state.w[0], e = 0;

    for (int i = 3; i >= 0; i--) { /* e is in the first word already */
        uint32_t next = round_function(kind, b, c, d) + rotate_left(a, 5) + we.w[i] + e;
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    return _mm_set_epi32((int)a, (int)b, (int)c, (int)d);
}

static __m128i soft_next_e(__m128i abcd, __m128i words)
{
    union words state = {abcd}, w = {words};

    w.w[3] += rotate_left(state.w[3], 30);
    return w.v;
}

static __m128i soft_msg1(__m128i first, __m128i second)
{
    const union words x = {first}, y = {second};

    return _mm_set_epi32((int)(x.w[3] ^ x.w[1]), (int)(x.w[2] ^ x.w[0]), (int)(x.w[1] ^ y.w[3]),
                         (int)(x.w[0] ^ y.w[2]));
}

static __m128i soft_msg2(__m128i first, __m128i second)
{
    const union words x = {first}, y = {second};
    const uint32_t w16 = rotate_left(x.w[3] ^ y.w[2], 1), w17 = rotate_left(x.w[2] ^ y.w[1], 1);
    const uint32_t w18 = rotate_left(x.w[1] ^ y.w[0], 1), w19 = rotate_left(x.w[0] ^ w16, 1);

    return _mm_set_epi32((int)w16, (int)w17, (int)w18, (int)w19);
}

#undef _mm_sha1rnds4_epu32
#define _mm_sha1rnds4_epu32 soft_rounds
#define _mm_sha1nexte_epu32 soft_next_e
#define _mm_sha1msg1_epu32 soft_msg1
#define _mm_sha1msg2_epu32 soft_msg2
#define sha1_ni_compress written_out_compress
void written_out_compress(uint32_t *const states[], const unsigned char *const data[], size_t);
#include "../../src/base/sha1_ni.c"

static void written_out_instructions(void **state)
{
    static unsigned char data[64 * 50];
    uint32_t want[5], got[5], *const expected[] = {want}, *const computed[] = {got};
    const unsigned char *const from[] = {data};

    (void)state;
    if (!__builtin_cpu_supports("sse4.1"))
        skip();
    fill(data, sizeof data, 7);
    for (int i = 0; i < 5; i++)
        want[i] = got[i] = 0x01234567U * (uint32_t)(i + 1);
    sha1_portable_compress(expected, from, 50);
    written_out_compress(computed, from, 50);
    assert_memory_equal(got, want, sizeof want);
}

#else

static void written_out_instructions(void **state)
{
    (void)state;
    skip();
}

#endif

/* --- The choice. --- */

static void the_widest_is_chosen(void **state)
{
    static const struct {
        const char *name;
        unsigned features;
        size_t lanes;
    } cases[] = {
        {"nothing", 0, 1},
        {"the baseline", CPU_SSE2, 4},
        {"AVX2", CPU_SSE2 | CPU_AVX2, 8},
        {"AVX-512", CPU_SSE2 | CPU_AVX2 | CPU_AVX512, 16},
        {"SHA instructions beside AVX2", CPU_SSE2 | CPU_AVX2 | CPU_SHA, 1},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        if (cpu_restrict(cases[i].features) == cases[i].features)
            unit_true(cases[i].name, sha1_lanes() == cases[i].lanes);
    cpu_restrict(~0U);
}

/* The counter of bits does not fit 32 bits from 512 MiB on; a state can be copied and resumed. */
static void copied_state_and_long_counter(void **state)
{
    struct sha1 h, copy;
    char a[SHA1_HEX + 1], b[SHA1_HEX + 1];

    (void)state;
    cpu_restrict(~0U);
    sha1_init(&h);
    sha1_update(&h, "some bytes", 10);
    copy = h;
    sha1_update(&h, "more", 4);
    sha1_update(&copy, "more", 4);
    sha1_final_hex(&h, a);
    sha1_final_hex(&copy, b);
    assert_string_equal(a, b);

    /* From 512 MiB on the counter of bits does not fit 32 bits. The state is that after 511 MiB of
     * zeros; reference: head -c 513M /dev/zero | sha1sum. */
    static const unsigned char zeros[1 << 20];
    h = (struct sha1){.state = {0xd417a740, 0x67ade971, 0x832d22ec, 0x677b2a68, 0xc40000ef},
                      .message.count_bytes = UINT64_C(511) << 20};
    for (int i = 0; i < 2; i++)
        sha1_update(&h, zeros, sizeof zeros);
    sha1_final_hex(&h, a);
    assert_string_equal(a, "56b0894b2b968f40e7a5e9240d242c19f7c56b70");
}

#define WITH_EACH(test)                                                                            \
    cmocka_unit_test_prestate(test, &sets[0]), cmocka_unit_test_prestate(test, &sets[1]),          \
        cmocka_unit_test_prestate(test, &sets[2]), cmocka_unit_test_prestate(test, &sets[3]),      \
        cmocka_unit_test_prestate(test, &sets[4]), cmocka_unit_test_prestate(test, &sets[5])

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(published_vectors),
        WITH_EACH(million_times_a),
        WITH_EACH(all_cuts_agree),
        WITH_EACH(many_agree_with_one),
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(written_out_instructions),
        cmocka_unit_test(the_widest_is_chosen),
        cmocka_unit_test(copied_state_and_long_counter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
