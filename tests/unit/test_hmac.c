/* RFC 4231 (HMAC-SHA-256) and FIPS 180-4 examples. */
#include "unit.h"

#include <string.h>

#include "base/hex.h"
#include "base/hmac.h"

static const struct mac_case {
    const char *name, *key_hex, *data, *mac;
} mac_cases[] = {
    {"rfc4231 1", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"rfc4231 2", "4a656665", "what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"empty key and message", "", "",
     "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
};

static void test_mac(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mac_cases / sizeof mac_cases[0]; i++) {
        const struct mac_case *c = &mac_cases[i];
        unsigned char key[64], mac[HMAC_SHA256_SIZE];
        char hex[2 * HMAC_SHA256_SIZE + 1];
        size_t key_len = strlen(c->key_hex) / 2;

        assert_true(hex_decode(str_of(c->key_hex), key, key_len));
        hmac_sha256((struct str){(char *)key, key_len}, str_of(c->data), mac);
        hex_encode(mac, sizeof mac, hex);
        unit_equal(c->name, hex, c->mac);
    }
}

/* RFC 4231 case 6: a key longer than a block is hashed first. */
static void test_long_key(void **state)
{
    char key[131];
    unsigned char mac[HMAC_SHA256_SIZE];
    char hex[2 * HMAC_SHA256_SIZE + 1];

    (void)state;
    memset(key, 0xaa, sizeof key);
    hmac_sha256((struct str){key, sizeof key},
                STR("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
    hex_encode(mac, sizeof mac, hex);
    unit_equal("rfc4231 6", hex,
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_sign(void **state)
{
    struct buf text = {0};
    char digits[HMAC_SHA256_DIGITS + 1];

    (void)state;
    buf_puts(&text, "what do ya want for nothing?"); /* RFC 4231 case 2 */
    assert_true(hmac_sha256_sign(STR("Jefe"), &text, digits));
    unit_equal("rfc4231 2", digits,
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    text.failed = true;
    assert_false(hmac_sha256_sign(STR("Jefe"), &text, digits));
    unit_equal("without memory", digits, "");
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mac),
        cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_sign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
