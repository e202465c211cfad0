/* SPDX-License-Identifier: BSD-3-Clause */
/* Fills of arrays with random numbers: blocks of Philox words side by side, then vector functions of them. */
#include "base/philox.h"

#include "base/vmath.h"

#define BLOCKS 64                          /* per round; all arrays of a round stay in L1 */
#define PER_BLOCK (SG_REAL_IS_FLOAT ? 4 : 2) /* uniforms in one block of 128 bits */
#define UNIFORMS (BLOCKS * PER_BLOCK)

/* The uniforms of BLOCKS consecutive blocks, in order. */
static void uniforms(uint64_t seed, uint64_t stream, uint64_t block, real *u /* (UNIFORMS) */)
{
    uint32_t word[4][BLOCKS];
    for (int j = 0; j < BLOCKS; j++) {
        sg_philox_block b = sg_philox(seed, stream, block + (uint64_t)j);
        for (int k = 0; k < 4; k++)
            word[k][j] = b.word[k];
    }
    for (int j = 0; j < BLOCKS; j++)
        for (int k = 0; k < PER_BLOCK; k++) {
#if SG_REAL_IS_FLOAT
            u[4 * j + k] = (real)(int32_t)(word[k][j] >> 8) * R(0x1p-24);
#else
            uint64_t w   = (uint64_t)word[2 * k][j] << 32 | word[2 * k + 1][j];
            u[2 * j + k] = (real)(int64_t)(w >> 11) * R(0x1p-53);
#endif
        }
}

/* In place: uniforms in [0, 1) to exponentials. */
static void to_exponential(real *u)
{
    for (int i = 0; i < UNIFORMS; i += VL) /* 0 - log: +0 for u = 0 */
        vr_store(u + i, vr_sub(vr_zero(), vr_log(vr_sub(vr_set1(1), vr_load(u + i)))));
}

/* In place: pairs of uniforms to pairs of normals. */
static void to_normal(real *u)
{
    real radius[UNIFORMS / 2], angle[UNIFORMS / 2];
    for (int i = 0; i < UNIFORMS / 2; i++) {
        radius[i] = 1 - u[2 * i];
        angle[i]  = u[2 * i + 1];
    }
    for (int i = 0; i < UNIFORMS / 2; i += VL) {
        vr sine, cosine;
        vr r = vr_sqrt(vr_mul(vr_set1(-2), vr_log(vr_load(radius + i))));
        vr_sincos_2pi(vr_load(angle + i), &sine, &cosine);
        vr_store(radius + i, vr_mul(r, cosine));
        vr_store(angle + i, vr_mul(r, sine));
    }
    for (int i = 0; i < UNIFORMS / 2; i++) {
        u[2 * i]     = radius[i];
        u[2 * i + 1] = angle[i];
    }
}

SG_INLINE void fill(uint64_t seed, uint64_t stream, uint64_t first, size_t n, real *out, void (*transform)(real *))
{
    uint64_t block = first / PER_BLOCK;
    size_t   skip  = first % PER_BLOCK;
    real     u[UNIFORMS];
    while (n) {
        uniforms(seed, stream, block, u);
        if (transform)
            transform(u);
        size_t use = UNIFORMS - skip < n ? UNIFORMS - skip : n;
        memcpy(out, u + skip, use * sizeof *out);
        out += use;
        n -= use;
        skip = 0;
        block += BLOCKS;
    }
}

static void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, size_t n, real *out)
{
    fill(seed, stream, first, n, out, NULL);
}

static void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, size_t n, real *out)
{
    fill(seed, stream, first, n, out, to_normal);
}

static void fill_exponential(uint64_t seed, uint64_t stream, uint64_t first, size_t n, real *out)
{
    fill(seed, stream, first, n, out, to_exponential);
}

#if SG_REAL_IS_FLOAT
const sg_philox_f32 SG_HOT(sg_base_philox) = {
#else
const sg_philox_f64 SG_HOT(sg_base_philox) = {
#endif
    .uniform     = fill_uniform,
    .normal      = fill_normal,
    .exponential = fill_exponential,
};
