/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Philox for hot files: VL consecutive blocks side by side, two uniforms of each. Lane i holds block first + i of (seed, stream):
 *   double  elements 2 block and 2 block + 1 of the uniform f64 sequence (see base/philox.h)
 *   float   the 24 high bits of the same two numbers: a float run draws what a double run draws, rounded down
 * Numbers in [0, 1), the same bits on every instruction set. sg_philox_lanes_at takes blocks in any order.
 *
 * One block takes a 64-bit lane per word, because that is how vectors multiply 32 by 32 bits: what stands in the upper halves
 * is never read. Six instructions of AVX-512 per round and 8 blocks.
 */
#ifndef SG_BASE_PHILOX_LANES_H
#define SG_BASE_PHILOX_LANES_H

#include "base/philox.h"
#include "base/simd.h"

#define SG_PHILOX_M0 0xD2511F53u
#define SG_PHILOX_M1 0xCD9E8D57u

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#define SG_BLOCK_LANES 8
typedef __m512i sg_words;
SG_INLINE sg_words sg_words_set1(uint64_t a) { return _mm512_set1_epi64((long long)a); }
SG_INLINE sg_words sg_words_from(uint64_t first)
{
    return _mm512_add_epi64(sg_words_set1(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}
SG_INLINE sg_words sg_words_load(const uint64_t *p) { return _mm512_loadu_si512(p); }
SG_INLINE sg_words sg_words_product(sg_words a, uint32_t b) { return _mm512_mul_epu32(a, sg_words_set1(b)); }
SG_INLINE sg_words sg_words_upper(sg_words a) { return _mm512_srli_epi64(a, 32); }
SG_INLINE sg_words sg_words_xor(sg_words a, sg_words b, uint32_t key)
{
    return _mm512_ternarylogic_epi64(a, b, sg_words_set1(key), 0x96);
}
#if SG_REAL_IS_FLOAT
SG_INLINE vr sg_words_uniform(sg_words low_lanes, sg_words high_lanes)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512i       word = _mm512_permutex2var_epi32(low_lanes, even, high_lanes);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(word, 8)), _mm512_set1_ps(0x1p-24f));
}
#else
SG_INLINE vr sg_words_uniform(sg_words high, sg_words low)
{
    __m512i word = _mm512_mask_blend_epi32(0x5555, _mm512_slli_epi64(high, 32), low);
    return _mm512_mul_pd(_mm512_cvtepu64_pd(_mm512_srli_epi64(word, 11)), _mm512_set1_pd(0x1p-53));
}
#endif

#elif defined(__AVX2__) && defined(__FMA__)

#define SG_BLOCK_LANES 4
typedef __m256i sg_words;
SG_INLINE sg_words sg_words_set1(uint64_t a) { return _mm256_set1_epi64x((long long)a); }
SG_INLINE sg_words sg_words_from(uint64_t first)
{
    return _mm256_add_epi64(sg_words_set1(first), _mm256_setr_epi64x(0, 1, 2, 3));
}
SG_INLINE sg_words sg_words_load(const uint64_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
SG_INLINE sg_words sg_words_product(sg_words a, uint32_t b) { return _mm256_mul_epu32(a, sg_words_set1(b)); }
SG_INLINE sg_words sg_words_upper(sg_words a) { return _mm256_srli_epi64(a, 32); }
SG_INLINE sg_words sg_words_xor(sg_words a, sg_words b, uint32_t key)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), sg_words_set1(key));
}
#if SG_REAL_IS_FLOAT
SG_INLINE vr sg_words_uniform(sg_words low_lanes, sg_words high_lanes)
{
    __m256 mixed = _mm256_shuffle_ps(_mm256_castsi256_ps(low_lanes), _mm256_castsi256_ps(high_lanes), 0x88);
    __m256i word = _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xD8);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(word, 8)), _mm256_set1_ps(0x1p-24f));
}
#else
/* 32 bits as the mantissa of 2^52 + word; the sum of both parts has 53 bits and is exact. */
SG_INLINE vr sg_words_uniform(sg_words high, sg_words low)
{
    const __m256i base = _mm256_castpd_si256(_mm256_set1_pd(0x1p52));
    __m256i h = _mm256_blend_epi32(base, high, 0x55);
    __m256i l = _mm256_blend_epi32(base, _mm256_srli_epi32(low, 11), 0x55);
    __m256d a = _mm256_sub_pd(_mm256_castsi256_pd(h), _mm256_set1_pd(0x1p52));
    __m256d b = _mm256_sub_pd(_mm256_castsi256_pd(l), _mm256_set1_pd(0x1p52));
    return _mm256_fmadd_pd(a, _mm256_set1_pd(0x1p-32), _mm256_mul_pd(b, _mm256_set1_pd(0x1p-53)));
}
#endif

#endif

#ifdef SG_BLOCK_LANES

SG_INLINE void sg_philox_words(uint64_t seed, uint64_t stream, sg_words block, sg_words *word /* (4) */)
{
    sg_words c0 = block, c1 = sg_words_upper(block);
    sg_words c2 = sg_words_set1((uint32_t)stream), c3 = sg_words_set1(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        sg_words p0 = sg_words_product(c0, SG_PHILOX_M0), p1 = sg_words_product(c2, SG_PHILOX_M1);
        c0 = sg_words_xor(sg_words_upper(p1), c1, k0);
        c2 = sg_words_xor(sg_words_upper(p0), c3, k1);
        c1 = p1;
        c3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

SG_INLINE void sg_philox_lanes(uint64_t seed, uint64_t stream, uint64_t first, vr *u, vr *v)
{
    sg_words a[4];
    sg_philox_words(seed, stream, sg_words_from(first), a);
#if SG_REAL_IS_FLOAT
    sg_words b[4];
    sg_philox_words(seed, stream, sg_words_from(first + SG_BLOCK_LANES), b);
    *u = sg_words_uniform(a[0], b[0]);
    *v = sg_words_uniform(a[2], b[2]);
#else
    *u = sg_words_uniform(a[0], a[1]);
    *v = sg_words_uniform(a[2], a[3]);
#endif
}

SG_INLINE void sg_philox_lanes_at(uint64_t seed, uint64_t stream, const uint64_t *block /* (VL) */, vr *u, vr *v)
{
    sg_words a[4];
    sg_philox_words(seed, stream, sg_words_load(block), a);
#if SG_REAL_IS_FLOAT
    sg_words b[4];
    sg_philox_words(seed, stream, sg_words_load(block + SG_BLOCK_LANES), b);
    *u = sg_words_uniform(a[0], b[0]);
    *v = sg_words_uniform(a[2], b[2]);
#else
    *u = sg_words_uniform(a[0], a[1]);
    *v = sg_words_uniform(a[2], a[3]);
#endif
}

#else

SG_INLINE void sg_philox_lanes_at(uint64_t seed, uint64_t stream, const uint64_t *block /* (VL) */, vr *u, vr *v)
{
    for (int i = 0; i < VL; i++) {
        sg_philox_block b = sg_philox(seed, stream, block[i]);
#if SG_REAL_IS_FLOAT
        (*u)[i] = (real)(int32_t)(b.word[0] >> 8) * R(0x1p-24);
        (*v)[i] = (real)(int32_t)(b.word[2] >> 8) * R(0x1p-24);
#else
        (*u)[i] = (real)(int64_t)(((uint64_t)b.word[0] << 32 | b.word[1]) >> 11) * R(0x1p-53);
        (*v)[i] = (real)(int64_t)(((uint64_t)b.word[2] << 32 | b.word[3]) >> 11) * R(0x1p-53);
#endif
    }
}

SG_INLINE void sg_philox_lanes(uint64_t seed, uint64_t stream, uint64_t first, vr *u, vr *v)
{
    uint64_t block[VL];
    for (int i = 0; i < VL; i++)
        block[i] = first + (uint64_t)i;
    sg_philox_lanes_at(seed, stream, block, u, v);
}

#endif
#endif
