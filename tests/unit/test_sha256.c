/* SHA-256: published vectors, every way to cut the input, and all kernels compared; that of the SHA
 * instructions also where the processor has none, with the instructions written out in C. */
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hex.h"
#include "base/sha256.h"
#include "base/sha256_kernels.h"
#include "unit.h"

/* FIPS 180 examples, and messages of NIST's SHA256ShortMsg.rsp. */
static const struct {
    const char *name, *hex, *digest;
} vectors[] = {
    {"empty", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "616263", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"56 bytes: padding takes a second block",
     "6162636462636465636465666465666765666768666768696768696a68696a6b696a6b6c6a6b6c6d6b6c6d6e"
     "6c6d6e6f6d6e6f706e6f7071",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"112 bytes",
     "61626364656667686263646566676869636465666768696a6465666768696a6b65666768696a6b6c66676869"
     "6a6b6c6d6768696a6b6c6d6e68696a6b6c6d6e6f696a6b6c6d6e6f706a6b6c6d6e6f70716b6c6d6e6f707172"
     "6c6d6e6f707172736d6e6f70717273746e6f707172737475",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"NIST 8 bits", "d3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
    {"NIST 16 bits", "11af", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"},
    {"NIST 24 bits", "b4190e",
     "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"},
    {"NIST 32 bits", "74ba2521",
     "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"},
};

static unsigned kernels[] = {0, CPU_SSE2, CPU_AVX2, CPU_AVX512, CPU_SHA, CPU_ARM_SHA};

static const char *name_of(unsigned kernel)
{
    switch (kernel) {
    case 0:
        return "generic";
    case CPU_SSE2:
        return "sse2";
    case CPU_AVX2:
        return "avx2";
    case CPU_AVX512:
        return "avx512";
    case CPU_ARM_SHA:
        return "arm-sha";
    default:
        return "sha";
    }
}

/* False where this processor lacks it; the other kernels are tried there. */
static bool use(unsigned kernel)
{
    return cpu_restrict(kernel) == kernel;
}

static void fill(unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (unsigned char)(seed >> 24);
    }
}

static void expect(const char *name, const unsigned char digest[SHA256_SIZE], const char *want)
{
    char hex[SHA256_HEX + 1];

    hex_encode(digest, SHA256_SIZE, hex);
    unit_equal(name, hex, want);
}

static void published_vectors(void **state)
{
    unsigned char data[128], digest[SHA256_SIZE];
    struct sha256 h;

    if (!use(*(unsigned *)*state))
        skip();
    for (size_t i = 0; i < UNIT_COUNT(vectors); i++) {
        size_t len = strlen(vectors[i].hex) / 2;
        assert_true(hex_decode(str_of(vectors[i].hex), data, len));
        for (size_t split = 0; split <= len; split++) {
            sha256_init(&h);
            sha256_update(&h, data, split);
            sha256_update(&h, data + split, len - split);
            sha256_final(&h, digest);
            expect(vectors[i].name, digest, vectors[i].digest);
        }
        sha256_of((struct str){(const char *)data, len}, digest);
        expect(vectors[i].name, digest, vectors[i].digest);
    }
}

static void vectors_in_lanes(void **state)
{
    unsigned char data[UNIT_COUNT(vectors)][128], digests[UNIT_COUNT(vectors)][SHA256_SIZE];
    struct str messages[UNIT_COUNT(vectors)];

    if (!use(*(unsigned *)*state))
        skip();
    for (size_t i = 0; i < UNIT_COUNT(vectors); i++) {
        size_t len = strlen(vectors[i].hex) / 2;
        assert_true(hex_decode(str_of(vectors[i].hex), data[i], len));
        messages[i] = (struct str){(const char *)data[i], len};
    }
    sha256_of_many(messages, UNIT_COUNT(vectors), digests);
    for (size_t i = 0; i < UNIT_COUNT(vectors); i++)
        expect(vectors[i].name, digests[i], vectors[i].digest);
}

/* 1,000,000 times "a" (FIPS 180), in pieces of every length up to some blocks. */
static void million_times_a(void **state)
{
    unsigned char data[300], digest[SHA256_SIZE];
    size_t left = 1000000;
    struct sha256 h;

    if (!use(*(unsigned *)*state))
        skip();
    memset(data, 'a', sizeof data);
    sha256_init(&h);
    for (size_t n = 1; left > 0; n = n % sizeof data + 1) {
        size_t len = n < left ? n : left;
        sha256_update(&h, data, len);
        left -= len;
    }
    sha256_final(&h, digest);
    expect("a million", digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The counter of bits does not fit 32 bits from 512 MiB on. The state is that after 511 MiB of
 * zeros; reference: head -c 513M /dev/zero | sha256sum. */
static void long_counter(void **state)
{
    static const unsigned char zeros[1 << 20];
    static const char want[] = "a3e2acbb469e4e59dde406f912e754c933c1ac0fb0092a3634d61d5073309c0c";
    unsigned char digest[SHA256_SIZE];
    struct sha256 copy, h = {.state = {0x6ff4de34, 0x5ad3d279, 0x8f68c91d, 0xa2c291ba,
                                        0x385dd75d, 0xffaf1b92, 0xa59d8283, 0xaf56c90b},
                             .message.count_bytes = UINT64_C(511) << 20};

    (void)state;
    cpu_restrict(~0U);
    for (int i = 0; i < 2; i++)
        sha256_update(&h, zeros, sizeof zeros);
    copy = h;
    sha256_final(&h, digest);
    expect("513 MiB of zeros", digest, want);
    sha256_final(&copy, digest);
    expect("the copied state", digest, want);
}

/* As many messages as may be, of all lengths around those of blocks, at every alignment: each has
 * the digest that it has alone, without any instruction that not every processor has. */
static void many_agree_with_one(void **state)
{
    enum { MOST = 37, LONGEST = 700 };
    static unsigned char data[MOST * (LONGEST + 1)];
    unsigned char many[MOST][SHA256_SIZE], one[SHA256_SIZE];
    struct str messages[MOST];
    const unsigned kernel = *(unsigned *)*state;

    fill(data, sizeof data, 1);
    for (size_t count = 0; count <= MOST; count++) {
        for (size_t spread = 0; spread < 3; spread++) {
            for (size_t i = 0; i < count; i++)
                messages[i] = (struct str){
                    (const char *)data + i * LONGEST + i % 13,
                    spread == 0 ? 640 : spread == 1 ? 50 + i : (i * i * 31 + count) % LONGEST};
            if (!use(kernel))
                skip();
            sha256_of_many(messages, count, many);
            cpu_restrict(0);
            for (size_t i = 0; i < count; i++) {
                sha256_of(messages[i], one);
                if (memcmp(one, many[i], SHA256_SIZE) != 0)
                    fail_msg("%s: message %zu of %zu, %zu bytes", name_of(kernel), i, count,
                             messages[i].len);
            }
        }
    }
}

/* --- The SHA instructions, as Intel's manual writes them out. --- */

#if defined(__x86_64__)

#include <immintrin.h>

union words {
    __m128i v;
    uint32_t w[4];
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static __m128i soft_rounds(__m128i cdgh, __m128i abef, __m128i wk)
{
    const union words state = {abef}, other = {cdgh}, add = {wk};
    uint32_t a = state.w[3], b = state.w[2], c = other.w[3], d = other.w[2];
    uint32_t e = state.w[1], f = state.w[0], g = other.w[1], h = other.w[0];

    for (int i = 0; i < 2; i++) {
        uint32_t t1 = ((e & f) ^ (~e & g)) + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                      add.w[i] + h;
        uint32_t t2 = ((a & b) ^ (a & c) ^ (b & c)) +
                      (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    return _mm_set_epi32((int)a, (int)b, (int)e, (int)f);
}

static uint32_t sigma_0(uint32_t x)
{
    return rotate(x, 7) ^ rotate(x, 18) ^ x >> 3;
}

static uint32_t sigma_1(uint32_t x)
{
    return rotate(x, 17) ^ rotate(x, 19) ^ x >> 10;
}

static __m128i soft_msg1(__m128i first, __m128i second)
{
    union words x = {first}, y = {second};

    for (int i = 0; i < 4; i++)
        x.w[i] += sigma_0(i < 3 ? x.w[i + 1] : y.w[0]);
    return x.v;
}

static __m128i soft_msg2(__m128i first, __m128i second)
{
    union words x = {first}, y = {second};

    x.w[0] += sigma_1(y.w[2]);
    x.w[1] += sigma_1(y.w[3]);
    x.w[2] += sigma_1(x.w[0]);
    x.w[3] += sigma_1(x.w[1]);
    return x.v;
}

#define _mm_sha256rnds2_epu32 soft_rounds
#define _mm_sha256msg1_epu32 soft_msg1
#define _mm_sha256msg2_epu32 soft_msg2
#define sha256_ni_compress written_out_compress
#define sha256_ni_compress_two written_out_compress_two
void written_out_compress(uint32_t *const states[], const unsigned char *const data[], size_t);
void written_out_compress_two(uint32_t *const states[], const unsigned char *const data[], size_t);
#include "../../src/base/sha256_ni.c"

static void written_out_instructions(void **state)
{
    static unsigned char data[2][64 * 50];
    uint32_t want[4][8] = {{0}}, one[8] = {0}, first[8] = {0}, second[8] = {0};
    uint32_t *const expected[] = {want[0], want[1], want[2], want[3]};
    uint32_t *const alone[] = {one}, *const both[] = {first, second};
    const unsigned char *const from[] = {data[0], data[1], data[0], data[1]};

    (void)state;
    if (!__builtin_cpu_supports("sse4.1"))
        skip();
    fill(data[0], sizeof data, 7);
    for (int i = 0; i < 8; i++)
        want[0][i] = want[1][i] = one[i] = first[i] = second[i] = 0x01234567U * (uint32_t)(i + 1);
    sha256_sse2_compress(expected, from, 50);
    written_out_compress(alone, from, 50);
    written_out_compress_two(both, from, 50);
    assert_memory_equal(one, want[0], sizeof one);
    assert_memory_equal(first, want[0], sizeof first);
    assert_memory_equal(second, want[1], sizeof second);
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
        {"SHA instructions beside AVX2", CPU_SSE2 | CPU_AVX2 | CPU_SHA, 2},
        {"SHA instructions beside AVX-512", CPU_SSE2 | CPU_AVX2 | CPU_AVX512 | CPU_SHA, 16},
    };

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++)
        if (use(cases[i].features))
            unit_true(cases[i].name, sha256_lanes() == cases[i].lanes);
}

static void the_variable_is_strict(void **state)
{
    static const struct {
        const char *value;
        bool is_good;
        unsigned features;
    } cases[] = {
        {"generic", true, 0},
        {"sse2", true, CPU_SSE2},
        {"sse2,generic", true, CPU_SSE2},
        {"sse", false, 0},
        {"sse2,", true, CPU_SSE2},
        {",sse2", false, 0},
        {"SSE2", false, 0},
        {"sse2, avx2", false, 0},
    };
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        setenv(CPU_TEST_VARIABLE, cases[i].value, 1);
        cpu_restrict(~0U);
        unit_true(cases[i].value, (cpu_load(&e) == 0) == cases[i].is_good);
        if (cases[i].is_good)
            unit_true(cases[i].value, cpu_features() == cases[i].features);
        else
            unit_true(cases[i].value, e.code == ERR_USAGE);
    }
    unsetenv(CPU_TEST_VARIABLE);
    cpu_restrict(~0U);
}

#define WITH_EACH(test)                                                                            \
    cmocka_unit_test_prestate(test, &kernels[0]), cmocka_unit_test_prestate(test, &kernels[1]),    \
        cmocka_unit_test_prestate(test, &kernels[2]),                                              \
        cmocka_unit_test_prestate(test, &kernels[3]),                                              \
        cmocka_unit_test_prestate(test, &kernels[4]), cmocka_unit_test_prestate(test, &kernels[5])

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(published_vectors),
        WITH_EACH(vectors_in_lanes),
        WITH_EACH(million_times_a),
        WITH_EACH(many_agree_with_one),
        cmocka_unit_test(long_counter),
        cmocka_unit_test(written_out_instructions),
        cmocka_unit_test(the_widest_is_chosen),
        cmocka_unit_test(the_variable_is_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
