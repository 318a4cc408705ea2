/* AES in counter mode and GHASH with the instructions of ARMv8, for BearSSL's GCM: its own code for
 * this processor is in plain C, some ten times slower. */
#include <string.h>

#include "base/cpu.h"
#include "net/tls_internal.h"

bool tls_arm_is_usable(void)
{
    return (cpu_features() & CPU_ARM_AES) != 0;
}

void tls_arm_use(br_ssl_engine_context *engine)
{
    if (!tls_arm_is_usable())
        return;
    br_ssl_engine_set_aes_ctr(engine, &tls_arm_ctr);
    br_ssl_engine_set_ghash(engine, tls_arm_ghash);
}

#if defined(__aarch64__)

#include <arm_neon.h>

enum { BLOCK = 16, SIDE_BY_SIDE = 4 };

/* Looks each byte up in AES's table, in constant time: the instruction's other step moves bytes
 * between columns, and here all columns are the same. */
__attribute__((target("+crypto"))) static uint32_t substitute_bytes(uint32_t word)
{
    const uint8x16_t columns = vreinterpretq_u8_u32(vdupq_n_u32(word));

    return vgetq_lane_u32(vreinterpretq_u32_u8(vaeseq_u8(columns, vdupq_n_u8(0))), 0);
}

/* FIPS 197, 5.2; a word has the first byte as its lowest. */
static void init_arm_keys(const br_block_ctr_class **ctx, const void *key, size_t len)
{
    static const unsigned char round_constants[] = {1, 2, 4, 8, 16, 32, 64, 128, 27, 54};
    br_aes_x86ni_ctr_keys *const keys = (br_aes_x86ni_ctr_keys *)(void *)ctx;
    const size_t key_words = len / 4;
    uint32_t words[4 * 15];

    keys->vtable = &tls_arm_ctr;
    keys->num_rounds = (unsigned)key_words + 6;
    memcpy(words, key, len);
    for (size_t i = key_words; i < 4 * (keys->num_rounds + 1U); i++) {
        uint32_t word = words[i - 1];
        if (i % key_words == 0)
            word = substitute_bytes(word >> 8 | word << 24) ^ round_constants[i / key_words - 1];
        else if (key_words > 6 && i % key_words == 4)
            word = substitute_bytes(word);
        words[i] = words[i - key_words] ^ word;
    }
    memcpy(keys->skey.skni, words, BLOCK * (keys->num_rounds + 1U));
    explicit_bzero(words, sizeof words);
}

/* Encrypts four counters at a time: each instruction's result takes its time to come. */
__attribute__((target("+crypto"))) static void make_key_stream(const br_aes_x86ni_ctr_keys *keys,
                                                            const unsigned char iv[12],
                                                            uint32_t counter,
                                                            uint8x16_t out[SIDE_BY_SIDE])
{
    const unsigned char *round_key = keys->skey.skni;
    unsigned char block[BLOCK];

    memcpy(block, iv, 12);
    for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
        const uint32_t number = __builtin_bswap32(counter + i);
        memcpy(block + 12, &number, 4);
        out[i] = vld1q_u8(block);
    }
    for (unsigned round = 1; round < keys->num_rounds; round++, round_key += BLOCK) {
        const uint8x16_t k = vld1q_u8(round_key);
        for (int i = 0; i < SIDE_BY_SIDE; i++)
            out[i] = vaesmcq_u8(vaeseq_u8(out[i], k));
    }
    const uint8x16_t k = vld1q_u8(round_key), last = vld1q_u8(round_key + BLOCK);
    for (int i = 0; i < SIDE_BY_SIDE; i++)
        out[i] = veorq_u8(vaeseq_u8(out[i], k), last);
}

static uint32_t run_arm_ctr(const br_block_ctr_class *const *ctx, const void *iv, uint32_t counter,
                            void *data, size_t len)
{
    const br_aes_x86ni_ctr_keys *const keys = (const br_aes_x86ni_ctr_keys *)(const void *)ctx;
    unsigned char *p = data, rest[SIDE_BY_SIDE * BLOCK];
    uint8x16_t stream[SIDE_BY_SIDE];

    for (; len >= sizeof rest; len -= sizeof rest, p += sizeof rest, counter += SIDE_BY_SIDE) {
        make_key_stream(keys, iv, counter, stream);
        for (int i = 0; i < SIDE_BY_SIDE; i++)
            vst1q_u8(p + BLOCK * i, veorq_u8(vld1q_u8(p + BLOCK * i), stream[i]));
    }
    if (len > 0) {
        make_key_stream(keys, iv, counter, stream);
        memcpy(rest, stream, sizeof rest);
        for (size_t i = 0; i < len; i++)
            p[i] ^= rest[i];
        counter += (uint32_t)(len / BLOCK);
    }
    return counter;
}

const br_block_ctr_class tls_arm_ctr = {
    sizeof(br_aes_x86ni_ctr_keys), BLOCK, 4, init_arm_keys, run_arm_ctr,
};

#define LOW(x) vgetq_lane_u64(vreinterpretq_u64_u8(x), 0)
#define HIGH(x) vgetq_lane_u64(vreinterpretq_u64_u8(x), 1)
#define MULTIPLY(a, b) vreinterpretq_u8_p128(vmull_p64((poly64_t)(a), (poly64_t)(b)))

/* Multiplies polynomials whose lowest coefficient is the lowest bit, modulo x^128 + x^7 + x^2 + x +
 * 1: what is beyond x^128 is multiplied by `tail`, the polynomial without its first term. */
__attribute__((target("+crypto"))) static uint8x16_t multiply_reduced(uint8x16_t a, uint8x16_t b)
{
    const uint64_t tail = 0x87;
    const uint8x16_t zero = vdupq_n_u8(0), high = MULTIPLY(HIGH(a), HIGH(b));
    uint8x16_t low = MULTIPLY(LOW(a), LOW(b));
    uint8x16_t middle = veorq_u8(MULTIPLY(LOW(a), HIGH(b)), MULTIPLY(HIGH(a), LOW(b)));

    middle = veorq_u8(middle, MULTIPLY(HIGH(high), tail));
    low = veorq_u8(low, MULTIPLY(LOW(high), tail));
    low = veorq_u8(low, MULTIPLY(HIGH(middle), tail));
    return veorq_u8(low, vextq_u8(zero, middle, 8));
}

/* GCM's first bit is the highest of the first byte: with the bits of each byte turned round, the
 * lowest bit of a register. */
void tls_arm_ghash(void *y, const void *h, const void *data, size_t len)
{
    const uint8x16_t key = vrbitq_u8(vld1q_u8(h));
    uint8x16_t hash = vrbitq_u8(vld1q_u8(y));
    const unsigned char *p = data;

    for (; len > 0; p += BLOCK) {
        const size_t n = len < BLOCK ? len : BLOCK;
        unsigned char block[BLOCK] = {0};
        memcpy(block, p, n);
        hash = multiply_reduced(veorq_u8(hash, vrbitq_u8(vld1q_u8(block))), key);
        len -= n;
    }
    vst1q_u8(y, vrbitq_u8(hash));
}

#else

const br_block_ctr_class tls_arm_ctr;

void tls_arm_ghash(void *y, const void *h, const void *data, size_t len)
{
    (void)y;
    (void)h;
    (void)data;
    (void)len;
}

#endif
