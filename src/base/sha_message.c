#include "base/sha_message.h"

#include <string.h>

void sha_message_add(struct sha_message *m, const void *data, size_t len,
                     void (*compress)(void *owner, const unsigned char *blocks, size_t count),
                     void *owner)
{
    const unsigned char *p = data;
    size_t have = m->count_bytes % SHA_WORDS_BLOCK;

    if (len == 0)
        return;
    m->count_bytes += len;
    if (have > 0) {
        size_t n = SHA_WORDS_BLOCK - have < len ? SHA_WORDS_BLOCK - have : len;
        memcpy(m->block + have, p, n);
        if (have + n < SHA_WORDS_BLOCK)
            return;
        compress(owner, m->block, 1);
        p += n;
        len -= n;
    }
    if (len >= SHA_WORDS_BLOCK)
        compress(owner, p, len / SHA_WORDS_BLOCK);
    memcpy(m->block, p + len / SHA_WORDS_BLOCK * SHA_WORDS_BLOCK, len % SHA_WORDS_BLOCK);
}
