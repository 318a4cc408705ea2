/* AES-GCM records with the instructions of x86-64: BearSSL encrypts a record and then hashes it;
 * here both are done side by side, in what the processor has idle while it does the other. */
#include <string.h>

#include "base/cpu.h"
#include "net/tls_internal.h"

bool tls_x86_is_usable(void)
{
    return (cpu_features() & CPU_AES) != 0;
}

void tls_x86_use(br_ssl_engine_context *engine)
{
    if (tls_x86_is_usable())
        br_ssl_engine_set_gcm(engine, &tls_x86_gcm_in, &tls_x86_gcm_out);
}

#if defined(__x86_64__)

#include <immintrin.h>

enum { BLOCK = 16, ABREAST = 8, GROUP = BLOCK * ABREAST, TAG = 16, NONCE = 8 };

/* Shorter records are left to BearSSL. */
enum { SHORTEST = 2 * GROUP };

#define KERNEL __attribute__((target("aes,pclmul,ssse3,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) KERNEL

#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define STORE(p, x) _mm_storeu_si128((__m128i *)(void *)(p), x)
#define XOR(a, b) _mm_xor_si128(a, b)

/* GCM's first bit is the highest of the first byte: blocks are turned round, byte by byte. */
#define TURN(x)                                                                                    \
    _mm_shuffle_epi8(x, _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f))

/* The state of the hash: h[i] is the key's power i + 1, doubled, which spares a shift of each
 * product. */
struct hashing {
    __m128i h[ABREAST];
    __m128i hash;
    __m128i low, middle, high; /* the sum of products that is not reduced yet */
};

/* The state of the cipher: the key of each round, and the counter, turned round. */
struct ciphering {
    const __m128i *keys;
    unsigned rounds;
    __m128i counter;
};

/* Adds the product of a block and a power of the key. */
INLINE void add_product(struct hashing *s, __m128i block, __m128i h)
{
    s->low = XOR(s->low, _mm_clmulepi64_si128(block, h, 0x00));
    s->high = XOR(s->high, _mm_clmulepi64_si128(block, h, 0x11));
    s->middle = XOR(s->middle, XOR(_mm_clmulepi64_si128(block, h, 0x01),
                                   _mm_clmulepi64_si128(block, h, 0x10)));
}

/* Reduces the sum modulo x^128 + x^7 + x^2 + x + 1, whose bits are turned round here. */
INLINE __m128i reduce_sum(const struct hashing *s)
{
    const __m128i tail = _mm_set_epi64x((long long)0xc200000000000000, 0);
    __m128i low = XOR(s->low, _mm_slli_si128(s->middle, 8));
    const __m128i high = XOR(s->high, _mm_srli_si128(s->middle, 8));

    low = XOR(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, tail, 0x10));
    low = XOR(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, tail, 0x10));
    return XOR(low, high);
}

INLINE void begin_sum(struct hashing *s)
{
    s->low = s->middle = s->high = _mm_setzero_si128();
}

KERNEL static void hash_block(struct hashing *s, __m128i block)
{
    begin_sum(s);
    add_product(s, XOR(s->hash, TURN(block)), s->h[0]);
    s->hash = reduce_sum(s);
}

/* Hashes some bytes; the last block is filled up with zeros. */
KERNEL static void hash_bytes(struct hashing *s, const unsigned char *data, size_t len)
{
    for (; len >= BLOCK; len -= BLOCK, data += BLOCK)
        hash_block(s, LOAD(data));
    if (len > 0) {
        unsigned char block[BLOCK] = {0};
        memcpy(block, data, len);
        hash_block(s, LOAD(block));
    }
}

KERNEL static void begin_hashing(struct hashing *s, const unsigned char *key)
{
    const __m128i polynomial = _mm_set_epi64x((long long)0xc200000000000000, 1);
    const __m128i h = TURN(LOAD(key));
    const __m128i carry = _mm_slli_si128(_mm_srli_epi64(h, 63), 8);
    const __m128i overflow = _mm_srai_epi32(_mm_shuffle_epi32(h, 0xff), 31);

    s->h[0] = XOR(_mm_or_si128(_mm_slli_epi64(h, 1), carry), _mm_and_si128(overflow, polynomial));
    for (int i = 1; i < ABREAST; i++) {
        begin_sum(s);
        add_product(s, s->h[i - 1], s->h[0]);
        s->h[i] = reduce_sum(s);
    }
    s->hash = _mm_setzero_si128();
}

/* The i-th block of a group, of which the first is added to the hash: it comes last, as the hash of
 * the group before is the last thing to be ready. */
INLINE void hash_of_group(struct hashing *s, const unsigned char *group, int i)
{
    const __m128i block = TURN(LOAD(group + BLOCK * (i % ABREAST)));

    add_product(s, i == ABREAST ? XOR(block, s->hash) : block, s->h[ABREAST - 1 - i % ABREAST]);
}

#define EIGHT(DO)                                                                                  \
    do {                                                                                           \
        DO(0);                                                                                     \
        DO(1);                                                                                     \
        DO(2);                                                                                     \
        DO(3);                                                                                     \
        DO(4);                                                                                     \
        DO(5);                                                                                     \
        DO(6);                                                                                     \
        DO(7);                                                                                     \
    } while (0)

/* Encrypts (or decrypts) a group in place, and hashes another beside it, or none (NULL). */
INLINE void crypt_group(struct ciphering *c, unsigned char *group, struct hashing *s,
                        const unsigned char *hashed)
{
    __m128i x[ABREAST], key = c->keys[0];

#define COUNT(i)                                                                                   \
    x[i] = XOR(TURN(_mm_add_epi32(c->counter, _mm_set_epi32(0, 0, 0, (i)))), key)
#define ENCRYPT(i) x[i] = _mm_aesenc_si128(x[i], key)
#define FINISH(i)                                                                                  \
    STORE(group + BLOCK * (i),                                                                     \
          XOR(LOAD(group + BLOCK * (i)), _mm_aesenclast_si128(x[i], key)))
#define ROUND(i)                                                                                   \
    do {                                                                                           \
        key = c->keys[(i) + 1];                                                                    \
        EIGHT(ENCRYPT);                                                                            \
        if (hashed != NULL)                                                                        \
            hash_of_group(s, hashed, (i) + 1);                                                     \
    } while (0)
    EIGHT(COUNT);
    c->counter = _mm_add_epi32(c->counter, _mm_set_epi32(0, 0, 0, ABREAST));
    if (hashed != NULL)
        begin_sum(s);
    ROUND(0);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(5);
    ROUND(6);
    ROUND(7);
    if (hashed != NULL)
        s->hash = reduce_sum(s);
    for (unsigned i = ABREAST + 1; i < c->rounds; i++) {
        key = c->keys[i];
        EIGHT(ENCRYPT);
    }
    key = c->keys[c->rounds];
    EIGHT(FINISH);
#undef COUNT
#undef ENCRYPT
#undef FINISH
#undef ROUND
}

KERNEL static void encrypt_groups(struct ciphering *c, struct hashing *s, unsigned char *data,
                                  size_t groups)
{
    crypt_group(c, data, s, NULL);
    for (size_t i = 1; i < groups; i++)
        crypt_group(c, data + GROUP * i, s, data + GROUP * (i - 1));
    hash_bytes(s, data + GROUP * (groups - 1), GROUP);
}

KERNEL static void decrypt_groups(struct ciphering *c, struct hashing *s, unsigned char *data,
                                  size_t groups)
{
    for (size_t i = 0; i < groups; i++)
        crypt_group(c, data + GROUP * i, s, data + GROUP * i);
}

static void put_big_endian(unsigned char *to, uint64_t value, size_t bytes)
{
    while (bytes-- > 0) {
        to[bytes] = (unsigned char)value;
        value >>= 8;
    }
}

/* Encrypts or decrypts `data`, and writes the tag of the encrypted bytes (RFC 5246 §6.2.3.3; RFC
 * 5288 §3: a nonce is four bytes of the key material and eight that are sent). */
KERNEL static void run_gcm(br_sslrec_gcm_context *cc, int type, unsigned version, bool encrypts,
                           const unsigned char *nonce, unsigned char *data, size_t len,
                           unsigned char tag[TAG])
{
    const br_aes_x86ni_ctr_keys *const aes = (const void *)&cc->bc.aes;
    const size_t groups = len / GROUP;
    unsigned char iv[BLOCK] = {0}, head[13], lengths[BLOCK];
    __m128i keys[15];
    struct hashing s;

    memcpy(iv, cc->iv, sizeof cc->iv);
    memcpy(iv + sizeof cc->iv, nonce, NONCE);
    iv[BLOCK - 1] = 2;
    memcpy(keys, aes->skey.skni, BLOCK * (aes->num_rounds + 1));
    struct ciphering c = {keys, aes->num_rounds, TURN(LOAD(iv))};
    put_big_endian(head, cc->seq++, 8);
    head[8] = (unsigned char)type;
    put_big_endian(head + 9, version, 2);
    put_big_endian(head + 11, len, 2);
    put_big_endian(lengths, sizeof head * 8, 8);
    put_big_endian(lengths + 8, (uint64_t)len * 8, 8);
    begin_hashing(&s, cc->h);
    hash_bytes(&s, head, sizeof head);
    if (encrypts)
        encrypt_groups(&c, &s, data, groups);
    else
        decrypt_groups(&c, &s, data, groups);
    data += GROUP * groups;
    len -= GROUP * groups;
    if (!encrypts)
        hash_bytes(&s, data, len);
    cc->bc.vtable->run(&cc->bc.vtable, iv, (uint32_t)(2 + ABREAST * groups), data, len);
    if (encrypts)
        hash_bytes(&s, data, len);
    hash_bytes(&s, lengths, sizeof lengths);
    STORE(tag, TURN(s.hash));
    cc->bc.vtable->run(&cc->bc.vtable, iv, 1, tag, TAG);
    explicit_bzero(keys, sizeof keys);
    explicit_bzero(&s, sizeof s);
}

static unsigned char *encrypt_record(const br_sslrec_out_class **ctx, int type, unsigned version,
                                     void *data, size_t *len)
{
    br_sslrec_gcm_context *const cc = (br_sslrec_gcm_context *)(void *)ctx;
    unsigned char *const plain = data, *const record = plain - NONCE - 5;

    if (*len < SHORTEST)
        return br_sslrec_out_gcm_vtable.inner.encrypt(ctx, type, version, data, len);
    put_big_endian(plain - NONCE, cc->seq, NONCE);
    run_gcm(cc, type, version, true, plain - NONCE, plain, *len, plain + *len);
    *len += NONCE + TAG;
    record[0] = (unsigned char)type;
    put_big_endian(record + 1, version, 2);
    put_big_endian(record + 3, *len, 2);
    *len += 5;
    return record;
}

static unsigned char *decrypt_record(const br_sslrec_in_class **ctx, int type, unsigned version,
                                     void *data, size_t *len)
{
    br_sslrec_gcm_context *const cc = (br_sslrec_gcm_context *)(void *)ctx;
    unsigned char *const nonce = data, *const sent = nonce + NONCE;
    unsigned char tag[TAG], differences = 0;

    if (*len < SHORTEST + NONCE + TAG)
        return br_sslrec_in_gcm_vtable.inner.decrypt(ctx, type, version, data, len);
    const size_t bytes = *len - NONCE - TAG;
    run_gcm(cc, type, version, false, nonce, sent, bytes, tag);
    for (int i = 0; i < TAG; i++)
        differences |= tag[i] ^ sent[bytes + (size_t)i];
    if (differences != 0)
        return NULL;
    *len = bytes;
    return sent;
}

/* ---- what is BearSSL's ---- */

static int check_record_length(const br_sslrec_in_class *const *ctx, size_t len)
{
    return br_sslrec_in_gcm_vtable.inner.check_length(ctx, len);
}

static void limit_plaintext(const br_sslrec_out_class *const *ctx, size_t *start, size_t *end)
{
    br_sslrec_out_gcm_vtable.inner.max_plaintext(ctx, start, end);
}

static void init_gcm_in(const br_sslrec_in_gcm_class **ctx, const br_block_ctr_class *cipher,
                        const void *key, size_t key_len, br_ghash hash, const void *iv)
{
    br_sslrec_in_gcm_vtable.init(ctx, cipher, key, key_len, hash, iv);
    *ctx = &tls_x86_gcm_in;
}

static void init_gcm_out(const br_sslrec_out_gcm_class **ctx, const br_block_ctr_class *cipher,
                         const void *key, size_t key_len, br_ghash hash, const void *iv)
{
    br_sslrec_out_gcm_vtable.init(ctx, cipher, key, key_len, hash, iv);
    *ctx = &tls_x86_gcm_out;
}

const br_sslrec_in_gcm_class tls_x86_gcm_in = {
    {sizeof(br_sslrec_gcm_context), check_record_length, decrypt_record}, init_gcm_in};

const br_sslrec_out_gcm_class tls_x86_gcm_out = {
    {sizeof(br_sslrec_gcm_context), limit_plaintext, encrypt_record}, init_gcm_out};

#else

const br_sslrec_in_gcm_class tls_x86_gcm_in;
const br_sslrec_out_gcm_class tls_x86_gcm_out;

#endif
