#include "base/fingerprint.h"

#include <string.h>

#include "base/cpu.h"
#include "base/random.h"
#include "base/sha256.h"

enum { STEP_BYTES = 4 * FINGERPRINT_SHIFT };

/* Adds up the products of pairs of words, each with its word of the key added, for each time.
 * `len` is a multiple of STEP_BYTES, at most FINGERPRINT_PIECE. */
typedef void sum_products(const uint32_t *key, const unsigned char *data, size_t len,
                          uint64_t sums[FINGERPRINT_TIMES]);

static void sum_products_portable(const uint32_t *key, const unsigned char *data, size_t len,
                                  uint64_t sums[FINGERPRINT_TIMES])
{
    uint32_t pair[2];

    for (; len > 0; len -= sizeof pair, data += sizeof pair, key += 2) {
        memcpy(pair, data, sizeof pair);
        for (size_t t = 0; t < FINGERPRINT_TIMES; t++) {
            const uint32_t *k = key + t * FINGERPRINT_SHIFT;
            sums[t] += (uint64_t)(uint32_t)(pair[0] + k[0]) * (uint32_t)(pair[1] + k[1]);
        }
    }
}

#if defined(__x86_64__)

#include <immintrin.h>

#define KEY_AT(type, t) ((const type *)(const void *)(key + (t) * FINGERPRINT_SHIFT))

#define ADD_PRODUCTS_128(sum, t)                                                                   \
    do {                                                                                           \
        const __m128i x = _mm_add_epi32(m, _mm_loadu_si128(KEY_AT(__m128i, t)));                   \
        sum = _mm_add_epi64(sum, _mm_mul_epu32(x, _mm_srli_epi64(x, 32)));                         \
    } while (0)

static uint64_t sum_of_128(__m128i sum)
{
    return (uint64_t)_mm_cvtsi128_si64(sum) +
           (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum));
}

static void sum_products_sse2(const uint32_t *key, const unsigned char *data, size_t len,
                              uint64_t sums[FINGERPRINT_TIMES])
{
    __m128i a = _mm_setzero_si128(), b = a, c = a;

    for (; len > 0; len -= 16, data += 16, key += 4) {
        const __m128i m = _mm_loadu_si128((const __m128i *)(const void *)data);
        ADD_PRODUCTS_128(a, 0);
        ADD_PRODUCTS_128(b, 1);
        ADD_PRODUCTS_128(c, 2);
    }
    sums[0] += sum_of_128(a);
    sums[1] += sum_of_128(b);
    sums[2] += sum_of_128(c);
}

#define ADD_PRODUCTS_256(sum, t)                                                                   \
    do {                                                                                           \
        const __m256i x = _mm256_add_epi32(m, _mm256_loadu_si256(KEY_AT(__m256i, t)));             \
        sum = _mm256_add_epi64(sum, _mm256_mul_epu32(x, _mm256_srli_epi64(x, 32)));                \
    } while (0)

#define SUM_OF_256(sum)                                                                            \
    sum_of_128(_mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1)))

__attribute__((target("avx2"))) static void sum_products_avx2(const uint32_t *key,
                                                              const unsigned char *data,
                                                              size_t len,
                                                              uint64_t sums[FINGERPRINT_TIMES])
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a;

    for (; len > 0; len -= 32, data += 32, key += 8) {
        const __m256i m = _mm256_loadu_si256((const __m256i *)(const void *)data);
        ADD_PRODUCTS_256(a, 0);
        ADD_PRODUCTS_256(b, 1);
        ADD_PRODUCTS_256(c, 2);
    }
    sums[0] += SUM_OF_256(a);
    sums[1] += SUM_OF_256(b);
    sums[2] += SUM_OF_256(c);
}

static sum_products *choose_sum_products(void)
{
    const unsigned features = cpu_features();

    if ((features & CPU_AVX2) != 0)
        return sum_products_avx2;
    return (features & CPU_SSE2) != 0 ? sum_products_sse2 : sum_products_portable;
}

#else

static sum_products *choose_sum_products(void)
{
    return sum_products_portable;
}

#endif

void fingerprint_draw(struct fingerprint_key *key)
{
    random_bytes(key, sizeof *key);
}

/* A last piece that is shorter is filled up with zeros: the length is hashed, too. */
void fingerprint_of(const struct fingerprint_key *key, struct str data,
                    unsigned char out[FINGERPRINT_SIZE])
{
    sum_products *const sum = choose_sum_products();
    const uint64_t len = data.len;
    unsigned char last[STEP_BYTES] = {0}, digest[SHA256_SIZE];
    struct sha256 h;

    sha256_init(&h);
    sha256_update(&h, &len, sizeof len);
    while (data.len > 0) {
        const unsigned char *p = (const unsigned char *)data.p;
        const size_t piece = data.len < FINGERPRINT_PIECE ? data.len : FINGERPRINT_PIECE;
        const size_t rest = piece % STEP_BYTES, whole = piece - rest;
        uint64_t sums[FINGERPRINT_TIMES] = {0};
        sum(key->words, p, whole, sums);
        if (rest > 0) {
            memcpy(last, p + whole, rest);
            sum(key->words + whole / 4, last, STEP_BYTES, sums);
        }
        sha256_update(&h, sums, sizeof sums);
        data = str_slice(data, piece, data.len);
    }
    sha256_final(&h, digest);
    memcpy(out, digest, FINGERPRINT_SIZE);
}
