/* A key that is read is written as the same text, but for the last line feed. */
#include <stdint.h>
#include <stdlib.h>

#include "fuzz.h"
#include "proto/pem.h"

static void check(enum pem_kind kind, struct str text)
{
    unsigned char key[PEM_KEY_SIZE];
    struct buf again = {0};

    if (!pem_parse(kind, text, key))
        return;
    pem_put(&again, kind, key);
    if (!str_starts_with(buf_str(&again), text) || again.len - text.len > 1)
        abort();
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(PEM_PRIVATE, (struct str){(const char *)data, size});
    check(PEM_PUBLIC, (struct str){(const char *)data, size});
    return 0;
}
