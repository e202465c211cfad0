/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Random numbers without state: Philox 4x32-10, Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC11),
 * doi:10.1145/2063384.2063405. A number is a function of (seed, stream, index), so a data set does not depend on the number of
 * threads, shards or ranks that made it. The key is the seed; the counter is (block, stream), 64 bits each, low word first.
 *
 * Element `index` of a sequence:
 *   bits         word index % 4 of block index / 4
 *   uniform f32  24 high bits of that word, in [0, 1)
 *   uniform f64  53 high bits of words 2 (index % 2) (high half) and the next (low half) of block index / 2, in [0, 1)
 *   normal       Box & Muller (1958) on the uniforms u(2 j), u(2 j + 1), j = index / 2: sqrt(-2 log(1 - u(2 j))) times the cosine
 *                (even index) or sine (odd index) of 2 pi u(2 j + 1). |normal| <= 5.77 (f32), 8.58 (f64)
 *   exponential  -log(1 - u(index)), mean 1, >= 0
 *
 * Bits and uniforms are the same everywhere; normal and exponential have the same bits on v3 and v4 (see base/vmath.h).
 * Different quantities of one simulation take different streams.
 */
#ifndef SG_BASE_PHILOX_H
#define SG_BASE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

typedef struct sg_philox_block {
    uint32_t word[4];
} sg_philox_block;

/* One block of 128 random bits. */
static inline sg_philox_block sg_philox(uint64_t seed, uint64_t stream, uint64_t block)
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (sg_philox_block){{c0, c1, c2, c3}};
}

/* Element index of the uniform f64 sequence. */
static inline double sg_philox_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    sg_philox_block b = sg_philox(seed, stream, index / 2);
    uint64_t        w = (uint64_t)b.word[2 * (index % 2)] << 32 | b.word[2 * (index % 2) + 1];
    return (double)(w >> 11) * 0x1p-53;
}

/* An integer in [0, bound), bound >= 1: the high half of bound times 64 random bits (element index of the 64-bit sequence).
 * Probabilities are equal to within bound / 2^64. */
uint64_t sg_philox_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound);

/* A random order of 0 .. n-1 (Fisher-Yates). */
void sg_philox_shuffle(
    uint64_t seed, uint64_t stream,
    size_t   n,
    int64_t *order); /* (n) */

/* Fill of n elements from `first` on, in the calling thread. Any split of a range gives the same numbers. */
typedef struct sg_philox_f32 {
    void (*uniform)(uint64_t seed, uint64_t stream, uint64_t first, size_t n, float *out /* (n) [1] */);
    void (*normal)(uint64_t seed, uint64_t stream, uint64_t first, size_t n, float *out /* (n) [1] */);
    void (*exponential)(uint64_t seed, uint64_t stream, uint64_t first, size_t n, float *out /* (n) [1] */);
} sg_philox_f32;

typedef struct sg_philox_f64 {
    void (*uniform)(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double *out /* (n) [1] */);
    void (*normal)(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double *out /* (n) [1] */);
    void (*exponential)(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double *out /* (n) [1] */);
} sg_philox_f64;

SG_ISA_DECLARE(sg_philox_f32, sg_base_philox_f32);
SG_ISA_DECLARE(sg_philox_f64, sg_base_philox_f64);

static inline const sg_philox_f32 *sg_philox_f32_now(void) { return SG_ISA_PICK(sg_base_philox_f32, sg_cpu_isa()); }
static inline const sg_philox_f64 *sg_philox_f64_now(void) { return SG_ISA_PICK(sg_base_philox_f64, sg_cpu_isa()); }

#endif
