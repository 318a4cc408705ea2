/* SHA-1: published vectors, every way to cut the input, and the two implementations compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/hex.h"
#include "base/sha1.h"

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

static void set_cpu(void **state)
{
    cpu_restrict(*(const unsigned *)*state);
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

static void implementations_agree(void **state)
{
    enum { SIZE = 70000 };
    unsigned char *data = malloc(SIZE + 16);

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < SIZE + 16; i++)
        data[i] = (unsigned char)((i * i * 2654435761U) >> 11);
    for (size_t len = 0; len <= SIZE; len += len < 300 ? 1 : 4999) {
        unsigned char with_cpu[SHA1_SIZE], portable[SHA1_SIZE];
        struct str s = {(const char *)data + len % 16, len}; /* at every alignment */
        cpu_restrict(CPU_SHA);
        sha1_of(s, with_cpu);
        cpu_restrict(0);
        sha1_of(s, portable);
        assert_memory_equal(with_cpu, portable, SHA1_SIZE);
    }
    cpu_restrict(CPU_SHA);
    free(data);
}

/* The counter of bits does not fit 32 bits from 512 MiB on; a state can be copied and resumed. */
static void copied_state_and_long_counter(void **state)
{
    struct sha1 h, copy;
    char a[SHA1_HEX + 1], b[SHA1_HEX + 1];

    set_cpu(state);
    sha1_init(&h);
    sha1_update(&h, "some bytes", 10);
    copy = h;
    sha1_update(&h, "more", 4);
    sha1_update(&copy, "more", 4);
    sha1_final_hex(&h, a);
    sha1_final_hex(&copy, b);
    assert_string_equal(a, b);

    /* 600 MiB of zeros; reference: head -c 629145600 /dev/zero | sha1sum */
    static const unsigned char zeros[1 << 20];
    sha1_init(&h);
    for (int i = 0; i < 600; i++)
        sha1_update(&h, zeros, sizeof zeros);
    sha1_final_hex(&h, a);
    assert_string_equal(a, "a7bc5ad8146f9bf4d14f7c80a5cff5a1659fe007");
}

int main(void)
{
    static unsigned with_cpu = CPU_SHA, portable = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(published_vectors, &with_cpu),
        cmocka_unit_test_prestate(published_vectors, &portable),
        cmocka_unit_test_prestate(million_times_a, &with_cpu),
        cmocka_unit_test_prestate(million_times_a, &portable),
        cmocka_unit_test_prestate(all_cuts_agree, &with_cpu),
        cmocka_unit_test_prestate(all_cuts_agree, &portable),
        cmocka_unit_test_prestate(copied_state_and_long_counter, &with_cpu),
        cmocka_unit_test_prestate(copied_state_and_long_counter, &portable),
        cmocka_unit_test(implementations_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
