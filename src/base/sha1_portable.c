/* One message, without vectors. BearSSL's, which is made for small processors, takes more than
 * twice the time. */
#define LANES 1

#include "base/sha1_lanes.h"
#include "base/sha_words.h"

void sha1_portable_compress(uint32_t *const states[], const unsigned char *const data[],
                            size_t count)
{
    uint32_t *const s = states[0];
    const unsigned char *p = data[0];
    word w[16];

    for (; count > 0; count--, p += SHA_WORDS_BLOCK) {
        for (int i = 0; i < 16; i++)
            w[i] = sha_words_get(p + 4 * i);
        ALL_ROUNDS();
    }
}
