/* GCM records with x86's instructions, beside BearSSL's own: what one makes is byte by byte what
 * the other makes, and each reads the other's. Elsewhere there is nothing to try. */
#include "base/cpu.h"
#include "net/tls_internal.h"
#include "unit.h"

enum { HEAD = 13, OVERHEAD = 24, LONGEST = 16384, TYPE = 23 };

static unsigned char ours[HEAD + LONGEST + OVERHEAD], theirs[HEAD + LONGEST + OVERHEAD];

static void fill_bytes(unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (unsigned char)(seed >> 24);
    }
}

static void skip_without_instructions(void)
{
    cpu_restrict(~0U);
    if (!tls_x86_is_usable())
        skip();
}

/* Two ends of one direction, each with our records or BearSSL's. */
static void begin_ends(br_sslrec_gcm_context *out, bool out_is_ours, br_sslrec_gcm_context *in,
                       bool in_is_ours, size_t key_len)
{
    const br_block_ctr_class *cipher = br_aes_x86ni_ctr_get_vtable();
    unsigned char key[32], iv[4];

    fill_bytes(key, sizeof key, 1);
    fill_bytes(iv, sizeof iv, 2);
    (out_is_ours ? &tls_x86_gcm_out : &br_sslrec_out_gcm_vtable)
        ->init(&out->vtable.out, cipher, key, key_len, br_ghash_ctmul64, iv);
    (in_is_ours ? &tls_x86_gcm_in : &br_sslrec_in_gcm_vtable)
        ->init(&in->vtable.in, cipher, key, key_len, br_ghash_ctmul64, iv);
}

static unsigned char *encrypt(br_sslrec_gcm_context *out, unsigned char *room, size_t *len)
{
    return out->vtable.out->inner.encrypt((const br_sslrec_out_class **)(void *)&out->vtable, TYPE,
                                          BR_TLS12, room + HEAD, len);
}

static unsigned char *decrypt(br_sslrec_gcm_context *in, unsigned char *record, size_t *len)
{
    return in->vtable.in->inner.decrypt((const br_sslrec_in_class **)(void *)&in->vtable, TYPE,
                                        BR_TLS12, record, len);
}

static void compare_record(br_sslrec_gcm_context *a, br_sslrec_gcm_context *b,
                           br_sslrec_gcm_context *in, size_t len)
{
    size_t len_a = len, len_b = len, len_in;
    unsigned char *record_a, *record_b, *plain;

    fill_bytes(ours + HEAD, len, (uint32_t)len);
    fill_bytes(theirs + HEAD, len, (uint32_t)len);
    record_a = encrypt(a, ours, &len_a);
    record_b = encrypt(b, theirs, &len_b);
    assert_int_equal(len_a, len + OVERHEAD + 5);
    assert_int_equal(len_a, len_b);
    assert_memory_equal(record_a, record_b, len_a);
    len_in = len_a - 5;
    plain = decrypt(in, record_a + 5, &len_in);
    assert_non_null(plain);
    assert_int_equal(len_in, len);
    fill_bytes(theirs, len, (uint32_t)len);
    assert_memory_equal(plain, theirs, len);
}

static void records_agree(void **state)
{
    static const size_t key_sizes[] = {16, 32};

    (void)state;
    skip_without_instructions();
    for (size_t k = 0; k < UNIT_COUNT(key_sizes); k++) {
        br_sslrec_gcm_context a, b, in, unused;
        begin_ends(&a, true, &in, true, key_sizes[k]);
        begin_ends(&b, false, &unused, false, key_sizes[k]);
        for (size_t len = 0; len <= 700; len++)
            compare_record(&a, &b, &in, len);
        for (size_t len = LONGEST - 140; len <= LONGEST; len++)
            compare_record(&a, &b, &in, len);
    }
}

/* Each bit of nonce, content and tag counts, and so does the number of the record. */
static void damaged_records_are_refused(void **state)
{
    enum { BYTES = 600 };
    unsigned char sent[BYTES + OVERHEAD];
    br_sslrec_gcm_context out, in;
    size_t len = BYTES, record_len;

    (void)state;
    skip_without_instructions();
    begin_ends(&out, true, &in, true, 16);
    fill_bytes(ours + HEAD, BYTES, 5);
    memcpy(sent, encrypt(&out, ours, &len) + 5, sizeof sent);
    for (size_t bit = 0; bit < 8 * sizeof sent; bit++) {
        in.seq = 0;
        memcpy(ours, sent, sizeof sent);
        ours[bit / 8] ^= (unsigned char)(1U << bit % 8);
        record_len = sizeof sent;
        assert_null(decrypt(&in, ours, &record_len));
    }
    in.seq = 1;
    memcpy(ours, sent, sizeof sent);
    record_len = sizeof sent;
    assert_null(decrypt(&in, ours, &record_len));
    in.seq = 0;
    memcpy(ours, sent, sizeof sent);
    assert_non_null(decrypt(&in, ours, &record_len));
}

static void engine_has_records_where_they_are_usable(void **state)
{
    br_ssl_client_context client;

    (void)state;
    cpu_restrict(~0U);
    tls_setup_client(&client, false);
    assert_int_equal(client.eng.igcm_in == &tls_x86_gcm_in, tls_x86_is_usable());
    assert_int_equal(client.eng.igcm_out == &tls_x86_gcm_out, tls_x86_is_usable());
    cpu_restrict(0);
    tls_setup_client(&client, false);
    assert_ptr_equal(client.eng.igcm_in, &br_sslrec_in_gcm_vtable);
    assert_ptr_equal(client.eng.igcm_out, &br_sslrec_out_gcm_vtable);
    cpu_restrict(~0U);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_agree),
        cmocka_unit_test(damaged_records_are_refused),
        cmocka_unit_test(engine_has_records_where_they_are_usable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
