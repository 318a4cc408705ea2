/* AES-CTR and GHASH with ARM's instructions, beside BearSSL's own code: every key size, length, cut
 * and overflow of the counter. Elsewhere there is nothing to try. */
#include "base/cpu.h"
#include "net/tls_internal.h"
#include "unit.h"

enum { LONGEST = 200 };

static void fill_with(unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (unsigned char)(seed >> 24);
    }
}

static void skip_without_aes(void)
{
    cpu_restrict(~0U);
    if (!tls_arm_is_usable())
        skip();
}

/* NIST SP 800-38A, F.5.1: AES-128 in counter mode, first block. */
static void published_block(void **state)
{
    static const unsigned char key[] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                        0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
    static const unsigned char iv[] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5,
                                       0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb};
    static const unsigned char want[] = {0x87, 0x4d, 0x61, 0x91, 0xb6, 0x20, 0xe3, 0x26,
                                         0x1b, 0xef, 0x68, 0x64, 0x99, 0x0d, 0xb6, 0xce};
    unsigned char block[] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                             0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
    br_aes_gen_ctr_keys keys;

    (void)state;
    skip_without_aes();
    tls_arm_ctr.init(&keys.vtable, key, sizeof key);
    assert_int_equal(tls_arm_ctr.run(&keys.vtable, iv, 0xfcfdfeff, block, sizeof block),
                     0xfcfdff00);
    assert_memory_equal(block, want, sizeof want);
}

static void counter_mode_agrees(void **state)
{
    static const size_t key_sizes[] = {16, 24, 32};
    static const uint32_t counters[] = {1, 2, 0xfffffffd, 0xffffffff};
    unsigned char key[32], iv[12], ours[LONGEST], theirs[LONGEST];
    br_aes_gen_ctr_keys a, b;

    (void)state;
    skip_without_aes();
    fill_with(key, sizeof key, 1);
    fill_with(iv, sizeof iv, 2);
    for (size_t k = 0; k < UNIT_COUNT(key_sizes); k++) {
        tls_arm_ctr.init(&a.vtable, key, key_sizes[k]);
        br_aes_ct64_ctr_vtable.init(&b.vtable, key, key_sizes[k]);
        for (size_t c = 0; c < UNIT_COUNT(counters); c++)
            for (size_t len = 0; len <= LONGEST; len++) {
                fill_with(ours, sizeof ours, 3);
                fill_with(theirs, sizeof theirs, 3);
                uint32_t next = a.vtable->run(&a.vtable, iv, counters[c], ours, len);
                assert_int_equal(next, b.vtable->run(&b.vtable, iv, counters[c], theirs, len));
                assert_memory_equal(ours, theirs, sizeof ours);
            }
    }
}

static void hash_agrees(void **state)
{
    unsigned char key[16], data[LONGEST], ours[16], theirs[16];

    (void)state;
    skip_without_aes();
    for (uint32_t seed = 0; seed < 50; seed++) {
        fill_with(key, sizeof key, seed);
        fill_with(data, sizeof data, seed + 100);
        for (size_t len = 0; len <= LONGEST; len++) {
            fill_with(ours, sizeof ours, seed + 200);
            memcpy(theirs, ours, sizeof ours);
            tls_arm_ghash(ours, key, data, len);
            br_ghash_ctmul64(theirs, key, data, len);
            assert_memory_equal(ours, theirs, sizeof ours);
        }
    }
}

static void engine_has_them_where_they_are_usable(void **state)
{
    br_ssl_client_context client;

    (void)state;
    cpu_restrict(~0U);
    tls_setup_client(&client, false);
    assert_int_equal(client.eng.iaes_ctr == &tls_arm_ctr, tls_arm_is_usable());
    assert_int_equal(client.eng.ighash == tls_arm_ghash, tls_arm_is_usable());
    cpu_restrict(0);
    tls_setup_client(&client, false);
    assert_true(client.eng.iaes_ctr != &tls_arm_ctr && client.eng.ighash != tls_arm_ghash);
    cpu_restrict(~0U);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_block),
        cmocka_unit_test(counter_mode_agrees),
        cmocka_unit_test(hash_agrees),
        cmocka_unit_test(engine_has_them_where_they_are_usable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
