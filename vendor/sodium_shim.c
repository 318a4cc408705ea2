/*
 * What ten files of libsodium need from the rest of it. They only sign and verify, with keys made
 * from a seed: nothing here may choose an implementation at run time or make random numbers.
 */
#include <stddef.h>
#include <stdlib.h>

#include <sodium/core.h>
#include <sodium/randombytes.h>

void sodium_misuse(void)
{
    abort();
}

void randombytes_buf(void *const buf, const size_t size)
{
    (void)buf;
    (void)size;
    abort();
}
