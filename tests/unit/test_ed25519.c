/* RFC 8032 §7.1, and what must not verify. */
#include "unit.h"

#include "base/ed25519.h"
#include "base/hex.h"

static const struct sign_case {
    const char *name, *seed, *public, *message, *signature;
} cases[] = {
    {"rfc8032 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"rfc8032 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"rfc8032 3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
        const struct sign_case *c = &cases[i];
        unsigned char seed[ED25519_SEED], pair[ED25519_PAIR], signature[ED25519_SIGNATURE];
        unsigned char message[8];
        char hex[2 * ED25519_SIGNATURE + 1];
        struct str text = {(char *)message, strlen(c->message) / 2};

        unit_true(c->name, hex_decode(str_of(c->seed), seed, sizeof seed));
        unit_true(c->name, hex_decode(str_of(c->message), message, text.len));
        ed25519_pair(seed, pair);
        hex_encode(pair + ED25519_SEED, ED25519_PUBLIC, hex);
        unit_equal(c->name, hex, c->public);
        ed25519_sign(pair, text, signature);
        hex_encode(signature, sizeof signature, hex);
        unit_equal(c->name, hex, c->signature);
        unit_true(c->name, ed25519_verify(pair + ED25519_SEED, text, signature));
    }
}

/* One bit changed in the message, the signature or the key: refused. */
static void test_tampered(void **state)
{
    unsigned char seed[ED25519_SEED] = {7}, pair[ED25519_PAIR], public[ED25519_PUBLIC];
    unsigned char signature[ED25519_SIGNATURE];
    char message[] = "twenty bytes of hash";
    struct str text = {message, sizeof message - 1};

    (void)state;
    ed25519_pair(seed, pair);
    memcpy(public, pair + ED25519_SEED, sizeof public);
    ed25519_sign(pair, text, signature);
    assert_true(ed25519_verify(public, text, signature));
    for (size_t bit = 0; bit < 8 * text.len; bit++) {
        message[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(ed25519_verify(public, text, signature));
        message[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(ed25519_verify(public, text, signature));
        signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof public; bit++) {
        public[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(ed25519_verify(public, text, signature));
        public[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_false(ed25519_verify(public, str_slice(text, 1, text.len), signature));
}

/* Keys of small order would let anybody sign anything. */
static void test_small_order_keys(void **state)
{
    static const char *const keys[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    };
    unsigned char key[ED25519_PUBLIC], signature[ED25519_SIGNATURE] = {1};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(keys); i++) {
        unit_true(keys[i], hex_decode(str_of(keys[i]), key, sizeof key));
        unit_true(keys[i], !ed25519_verify(key, STR("anything"), signature));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_small_order_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
