/*
 * Certificates from strangers. Input: a byte n, n length-prefixed (2 bytes) certificates; they are
 * checked as a chain against the test's own root, and as PEM roots.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "x509/cert_name.h"
#include "x509/cert_path.h"

static const char root[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBTTCB9aADAgECAhQySoFkBqaRDizWA8gxs+hPgT89lDAKBggqhkjOPQQDAjAU\n"
                           "MRIwEAYDVQQDDAl0ZXN0IHJvb3QwIBcNMjYxMTIxMTIwMDAwWhgPMjA1NjExMjIx\n"
                           "MjAwMDBaMBQxEjAQBgNVBAMMCXRlc3Qgcm9vdDBZMBMGByqGSM49AgEGCCqGSM49\n"
                           "AwEHA0IABHf4Tu9CnH5HfyUeSuRRpszkYNvhyzy6yq248ROBQxghNQ7iwXDyyGkj\n"
                           "PrppJgi94QZUGaOw89vrCCF4owN1AsajIzAhMA8GA1UdEwEB/wQFMAMBAf8wDgYD\n"
                           "VR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0cAMEQCIDlX4pO1JdtbETRdtSBn/dDs\n"
                           "X42CZqfAvdV8qKDRkrYsAiAood6rhMHRyOuCksyAeHSNi/VgC13tQNRLh3je7RzN\n"
                           "Yw==\n"
                           "-----END CERTIFICATE-----\n";

static void inspect(struct str der)
{
    struct cert c;
    struct buf name = {0};
    struct err e;

    if (cert_parse(&c, der, &e) != 0)
        return;
    cert_name_put(&name, c.subject);
    cert_name_check_host(&c, STR("host.example"), &e);
    cert_check_signature(&c, &c, &e);
    unsigned budget = CERT_NAME_MAX_COMPARISONS;
    cert_name_check_constraints(&c, &c, &budget, &e);
    if (!cert_name_is_equal(c.subject, c.subject))
        abort();
    buf_free(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str sent[CERT_PATH_MAX_SENT], in = {(const char *)data, size};
    struct trust *trust = trust_parse(STR(root), ERR_IGNORED), *read;
    struct cert leaf;
    struct err e;
    size_t count = 0;

    while (in.len > 2 && count < CERT_PATH_MAX_SENT) {
        size_t len = (size_t)(unsigned char)in.p[0] << 8 | (unsigned char)in.p[1];
        sent[count++] = str_slice(in, 2, 2 + len);
        in = str_slice(in, 2 + len, in.len);
    }
    for (size_t i = 0; i < count; i++)
        inspect(sent[i]);
    cert_path_verify(sent, count, trust, STR("host.example"), 1795348800, &leaf, &e);
    read = trust_parse((struct str){(const char *)data, size}, &e);
    trust_free(read);
    trust_free(trust);
    return 0;
}
