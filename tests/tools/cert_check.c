/*
 * cert_check (ROOTS.pem CHAIN.pem HOST SECONDS)...: is the chain (the server's certificate first)
 * good for a TLS server called HOST at that time (since the epoch)? Prints "ok" or the refusal, a
 * line for each; exit 0 or, when one was refused, 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/fs.h"
#include "x509/cert_path.h"

enum { MAX_FILE = 1 << 24, MAX_CHAIN = 256 };

/* The certificates of a PEM file, as a server would send them. */
static size_t read_chain(const char *path, struct buf *der, struct str *out)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END";
    struct buf text = {0}, line = {0};
    struct err e;
    size_t count = 0, ends[MAX_CHAIN];

    if (fs_read_file(path, MAX_FILE, &text, &e) != 0)
        return 0;
    for (const char *p = strstr(buf_cstr(&text), begin); p != NULL && count < MAX_CHAIN;
         p = strstr(p, begin)) {
        const char *stop = strstr(p += strlen(begin), end);
        buf_clear(&line);
        for (; p < stop; p++)
            if (*p > ' ')
                buf_putc(&line, *p);
        if (stop == NULL || !base64_decode(der, buf_str(&line)))
            break;
        ends[count++] = der->len;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = str_slice(buf_str(der), i == 0 ? 0 : ends[i - 1], ends[i]);
    buf_free(&text);
    buf_free(&line);
    return count;
}

static bool check(char **argv)
{
    struct buf roots = {0}, der = {0};
    struct str chain[MAX_CHAIN];
    struct trust *trust = NULL;
    struct cert leaf;
    struct err e = {0};
    int result = -1;

    size_t count = read_chain(argv[1], &der, chain);
    if (fs_read_file(argv[0], MAX_FILE, &roots, &e) == 0 &&
        (trust = trust_parse(buf_str(&roots), &e)) != NULL)
        result = cert_path_verify(chain, count, trust, str_of(argv[2]), atoll(argv[3]), &leaf, &e);
    puts(result == 0 ? "ok" : e.msg);
    trust_free(trust);
    buf_free(&roots);
    buf_free(&der);
    return result == 0;
}

int main(int argc, char **argv)
{
    bool is_good = true;

    if (argc < 5 || argc % 4 != 1) {
        fprintf(stderr, "usage: cert_check (ROOTS.pem CHAIN.pem HOST SECONDS)...\n");
        return 2;
    }
    for (int i = 1; i < argc; i += 4)
        is_good &= check(argv + i);
    return is_good ? 0 : 1;
}
