/* SPDX-License-Identifier: BSD-3-Clause */
/* Array forms of the vector functions, for tests of vmath.h and for callers outside hot files. */
#include "base/vmath.h"
#include "base/vmath_arrays.h"

SG_INLINE vr sg_sin_turn(vr x)
{
    vr sine, cosine;
    vr_sincos_turn(x, &sine, &cosine);
    return sine;
}

SG_INLINE vr sg_cos_turn(vr x)
{
    vr sine, cosine;
    vr_sincos_turn(x, &sine, &cosine);
    return cosine;
}

#define UNARY(name, expression)                                                           \
    static void name##_array(size_t n, const real *x, real *y)                            \
    {                                                                                     \
        size_t i = 0;                                                                     \
        for (; i + VL <= n; i += VL) {                                                    \
            vr v = vr_load(x + i);                                                        \
            vr_store(y + i, (expression));                                                \
        }                                                                                 \
        if (i < n) {                                                                      \
            vr v = vr_load_n(x + i, n - i);                                               \
            vr_store_n(y + i, (expression), n - i);                                       \
        }                                                                                 \
    }

SG_VMATH_UNARY(UNARY)

static void sincos_array(size_t n, const real *x, real *sine, real *cosine)
{
    for (size_t i = 0; i < n; i += VL) {
        size_t lanes = n - i < VL ? n - i : VL;
        vr     s, c;
        vr_sincos(vr_load_n(x + i, lanes), &s, &c);
        vr_store_n(sine + i, s, lanes);
        vr_store_n(cosine + i, c, lanes);
    }
}

static void powi_array(size_t n, int power, const real *x, real *y)
{
    for (size_t i = 0; i < n; i += VL) {
        size_t lanes = n - i < VL ? n - i : VL;
        vr_store_n(y + i, vr_powi(vr_load_n(x + i, lanes), power), lanes);
    }
}

static void root_array(size_t n, int degree, const real *x, real *y)
{
    for (size_t i = 0; i < n; i += VL) {
        size_t lanes = n - i < VL ? n - i : VL;
        vr_store_n(y + i, vr_root(vr_load_n(x + i, lanes), degree), lanes);
    }
}

static void atan2_array(size_t n, const real *y, const real *x, real *angle)
{
    for (size_t i = 0; i < n; i += VL) {
        size_t lanes = n - i < VL ? n - i : VL;
        vr_store_n(angle + i, vr_atan2(vr_load_n(y + i, lanes), vr_load_n(x + i, lanes)), lanes);
    }
}

#if SG_REAL_IS_FLOAT
const sg_vmath_f32 SG_HOT(sg_base_vmath) = {
#else
const sg_vmath_f64 SG_HOT(sg_base_vmath) = {
#endif
#define X(name, expression) .name = name##_array,
    SG_VMATH_UNARY(X)
#undef X
    .sincos = sincos_array,
    .powi = powi_array,
    .root = root_array,
    .atan2 = atan2_array,
};
