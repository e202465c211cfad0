/* SPDX-License-Identifier: BSD-3-Clause */
/* For hot files: table[i] of each lane. */
#ifndef SG_BASE_GATHER_H
#define SG_BASE_GATHER_H

#include "base/simd.h"

SG_INLINE vr vr_gather(const real *table, vi i)
{
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && SG_REAL_IS_FLOAT
    return _mm512_i32gather_ps(i, table, 4);
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
    return _mm512_i64gather_pd(i, table, 8);
#elif defined(__AVX2__) && defined(__FMA__) && SG_REAL_IS_FLOAT
    return _mm256_i32gather_ps(table, i, 4);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_i64gather_pd(table, i, 8);
#else
    vr r;
    for (int lane = 0; lane < VL; lane++)
        r[lane] = table[i[lane]];
    return r;
#endif
}

#endif
