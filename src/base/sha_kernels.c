#include "base/sha_kernels.h"

#include "base/cpu.h"
#include "base/sha_words.h"

const struct sha_kernel *sha_kernels_choose(const struct sha_kernels *kernels, size_t count)
{
    const unsigned features = cpu_features();
    const struct sha_kernel *best = NULL;
    size_t best_cost = 0;

    for (size_t i = 0; i < kernels->count; i++) {
        const struct sha_kernel *k = &kernels->items[i];
        size_t cost = (count + k->lanes - 1) / k->lanes * k->cost;
        if ((features & k->feature) == k->feature && (best == NULL || cost < best_cost)) {
            best = k;
            best_cost = cost;
        }
    }
    return best;
}

/* One pass over as many blocks as each of the messages has. Where there are more lanes than
 * messages, the others repeat the last message into a state that nobody reads. */
static size_t run_pass(const struct sha_kernel *k, const struct sha_blocks *blocks, size_t count)
{
    uint32_t unused[8] = {0}, *states[SHA_KERNELS_LANES];
    const unsigned char *data[SHA_KERNELS_LANES];
    size_t shortest = blocks[0].count;

    for (size_t i = 1; i < count; i++)
        if (blocks[i].count < shortest)
            shortest = blocks[i].count;
    for (size_t i = 0; i < k->lanes; i++) {
        states[i] = i < count ? blocks[i].state : unused;
        data[i] = blocks[i < count ? i : count - 1].data;
    }
    k->compress(states, data, shortest);
    return shortest;
}

/* Drops the messages that have no blocks left; returns how many have. */
static size_t keep_unfinished(struct sha_blocks *blocks, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (blocks[i].count > 0)
            blocks[kept++] = blocks[i];
    return kept;
}

void sha_kernels_run(const struct sha_kernels *kernels, struct sha_blocks *blocks, size_t count)
{
    while ((count = keep_unfinished(blocks, count)) > 0) {
        const struct sha_kernel *k = sha_kernels_choose(kernels, count);
        size_t taken = count < k->lanes ? count : k->lanes;
        size_t done = run_pass(k, blocks, taken);
        for (size_t i = 0; i < taken; i++) {
            blocks[i].data += done * SHA_WORDS_BLOCK;
            blocks[i].count -= done;
        }
    }
}
