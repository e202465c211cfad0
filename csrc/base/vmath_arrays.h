/* SPDX-License-Identifier: BSD-3-Clause */
/* Elementary functions of arrays, through the instruction set in use. x and y may be the same array. */
#ifndef SG_BASE_VMATH_ARRAYS_H
#define SG_BASE_VMATH_ARRAYS_H

#include <stddef.h>

#include "base/cpu.h"

/* X(name, expression of a vector v), see vmath.h */
#define SG_VMATH_UNARY(X)        \
    X(exp, vr_exp(v))            \
    X(expm1, vr_expm1(v))        \
    X(log, vr_log(v))            \
    X(log1p, vr_log1p(v))        \
    X(tanh, vr_tanh(v))          \
    X(sigmoid, vr_sigmoid(v))    \
    X(softplus, vr_softplus(v))  \
    X(erf, vr_erf(v))            \
    X(sin, vr_sin(v))            \
    X(cos, vr_cos(v))            \
    X(atan, vr_atan(v))          \
    X(sin_turn, sg_sin_turn(v))  \
    X(cos_turn, sg_cos_turn(v))

#define SG_VMATH_TABLE(real)                                                                          \
    {                                                                                                 \
        SG_VMATH_UNARY(SG_VMATH_UNARY_##real)                                                         \
        void (*sincos)(size_t n, const real *x, real *sine, real *cosine); /* n; (n) [rad]; (n), (n) */ \
        void (*powi)(size_t n, int power, const real *x, real *y);         /* y = x^power */          \
        void (*root)(size_t n, int degree, const real *x, real *y);        /* y = x^(1/degree) */     \
        void (*atan2)(size_t n, const real *y, const real *x, real *angle); /* (n) each */             \
    }
#define SG_VMATH_UNARY_float(name, expression) void (*name)(size_t n, const float *x, float *y);
#define SG_VMATH_UNARY_double(name, expression) void (*name)(size_t n, const double *x, double *y);
typedef struct sg_vmath_f32 SG_VMATH_TABLE(float) sg_vmath_f32;
typedef struct sg_vmath_f64 SG_VMATH_TABLE(double) sg_vmath_f64;

SG_ISA_DECLARE(sg_vmath_f32, sg_base_vmath_f32);
SG_ISA_DECLARE(sg_vmath_f64, sg_base_vmath_f64);

static inline const sg_vmath_f32 *sg_vmath_f32_now(void) { return SG_ISA_PICK(sg_base_vmath_f32, sg_cpu_isa()); }
static inline const sg_vmath_f64 *sg_vmath_f64_now(void) { return SG_ISA_PICK(sg_base_vmath_f64, sg_cpu_isa()); }

#endif
