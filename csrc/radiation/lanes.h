/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups of 16 and of 8 reals for the segments of a k-distribution, on top of simd.h: l16_... and l8_... Where a
 * vector holds 16 floats, 8 of them use half a vector instead of a masked one: half-width units then do half the
 * work. */
#ifndef SG_RADIATION_LANES_H
#define SG_RADIATION_LANES_H

#include "base/simd.h"

#define SG_LANE_GROUP(N)                                                                                \
    typedef struct {                                                                                    \
        vr v[N / VL];                                                                                   \
    } l##N;                                                                                             \
    SG_INLINE l##N l##N##_zero(void)                                                                    \
    {                                                                                                   \
        l##N a;                                                                                         \
        for (int i = 0; i < N / VL; i++)                                                                \
            a.v[i] = vr_zero();                                                                         \
        return a;                                                                                       \
    }                                                                                                   \
    SG_INLINE l##N l##N##_load(const real *p)                                                           \
    {                                                                                                   \
        l##N a;                                                                                         \
        for (int i = 0; i < N / VL; i++)                                                                \
            a.v[i] = vr_load(p + i * VL);                                                               \
        return a;                                                                                       \
    }                                                                                                   \
    SG_INLINE void l##N##_store(real *p, l##N a)                                                        \
    {                                                                                                   \
        for (int i = 0; i < N / VL; i++)                                                                \
            vr_store(p + i * VL, a.v[i]);                                                               \
    }                                                                                                   \
    SG_INLINE l##N l##N##_add(l##N a, l##N b)                                                           \
    {                                                                                                   \
        for (int i = 0; i < N / VL; i++)                                                                \
            a.v[i] = vr_add(a.v[i], b.v[i]);                                                            \
        return a;                                                                                       \
    }                                                                                                   \
    SG_INLINE l##N l##N##_scale(real w, l##N b) /* w b */                                               \
    {                                                                                                   \
        vr weight = vr_set1(w);                                                                         \
        for (int i = 0; i < N / VL; i++)                                                                \
            b.v[i] = vr_mul(weight, b.v[i]);                                                            \
        return b;                                                                                       \
    }                                                                                                   \
    SG_INLINE l##N l##N##_add_scaled(real w, l##N b, l##N c) /* w b + c */                              \
    {                                                                                                   \
        vr weight = vr_set1(w);                                                                         \
        for (int i = 0; i < N / VL; i++)                                                                \
            c.v[i] = vr_fma(weight, b.v[i], c.v[i]);                                                    \
        return c;                                                                                       \
    }

SG_LANE_GROUP(16)

#if !(SG_REAL_IS_FLOAT && defined(__AVX512F__))
SG_LANE_GROUP(8)
#else
typedef __m256 l8;
SG_INLINE l8   l8_zero(void) { return _mm256_setzero_ps(); }
SG_INLINE l8   l8_load(const real *p) { return _mm256_loadu_ps(p); }
SG_INLINE void l8_store(real *p, l8 a) { _mm256_storeu_ps(p, a); }
SG_INLINE l8   l8_add(l8 a, l8 b) { return _mm256_add_ps(a, b); }
SG_INLINE l8   l8_scale(real w, l8 b) { return _mm256_mul_ps(_mm256_set1_ps(w), b); }
SG_INLINE l8   l8_add_scaled(real w, l8 b, l8 c) { return _mm256_fmadd_ps(_mm256_set1_ps(w), b, c); }
#endif

#endif
