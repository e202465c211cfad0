/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/philox.h"

static uint64_t below(const sg_philox_block *b, uint64_t index, uint64_t bound)
{
    uint64_t w = (uint64_t)b->word[2 * (index % 2)] << 32 | b->word[2 * (index % 2) + 1];
    return (uint64_t)(((unsigned __int128)w * bound) >> 64);
}

uint64_t sg_philox_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound)
{
    sg_philox_block b = sg_philox(seed, stream, index / 2);
    return below(&b, index, bound);
}

void sg_philox_shuffle(uint64_t seed, uint64_t stream, size_t n, int64_t *order)
{
    sg_philox_block b = {{0}};
    for (size_t i = 0; i < n; i++) {
        if (i % 2 == 0)
            b = sg_philox(seed, stream, i / 2);
        size_t j = (size_t)below(&b, i, i + 1); /* inside-out: element i goes to place j, what was there moves to i */
        order[i] = order[j];
        order[j] = (int64_t)i;
    }
}
