/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Elementary functions of vectors, for hot files. float and double from one source; the same bits on v3 and v4 because every
 * step is one IEEE operation. Measured errors: docs/accuracy.md.
 *
 *   vr_exp  vr_expm1  vr_log  vr_log1p  vr_tanh  vr_sigmoid  vr_softplus  vr_erf
 *   vr_sin  vr_cos  vr_sincos        |x| <= SG_SINCOS_MAX, NaN beyond (1e4 float, 1e6 double)
 *   vr_sincos_2pi                    of 2 pi x, 0 <= x < 1
 *   vr_atan  vr_atan2(y, x)          atan2(y, -0.0) is that of +0.0; both zero or both infinite: 0 or NaN
 *   vr_sincos_turn                   of 2 pi x, |x| <= 1/2, to 1.6 ulp of 1: for azimuths
 *   vr_pow2  vr_pow4  vr_pow8  vr_powi(x, n)
 *   vr_root2  vr_root4  vr_root8  vr_root16  vr_root(x, n)
 *
 * NaN gives NaN; poles give infinities; results too large become infinite; results below the smallest normal number become 0,
 * so that no exponential makes denormal numbers. log takes denormal arguments. Polynomials: tests/base/minimax.py. Argument
 * reductions after Cody & Waite, Software Manual for the Elementary Functions (1980), and Tang, doi:10.1145/63522.214036.
 */
#ifndef SG_BASE_VMATH_H
#define SG_BASE_VMATH_H

#include "base/simd.h"
#include "base/vmath_coefficients.h"

#if SG_REAL_IS_FLOAT
#define SG_ROUND_MAGIC R(0x1.8p23)    /* x + magic has round(x) in its low bits, |x| < 2^22 */
#define SG_LOG2_E R(0x1.715476p0)
#define SG_LN2 R(0x1.62e43p-1)
#define SG_LN2_HIGH R(0x1.62e4p-1)    /* 15 bits: times any exponent is exact */
#define SG_LN2_LOW R(0x1.7f7d1cp-20)
#define SG_EXP_HIGH R(0x1.62e42ep6)   /* largest x with finite exp(x) */
#define SG_EXP_LOW R(-0x1.5d589ep6)   /* smallest x with a normal exp(x) */
#define SG_LEAST_NORMAL R(0x1p-126)
#define SG_SQRT_HALF R(0x1.6a09e6p-1)
#define SG_2_PI R(0x1.45f306p-1)      /* 2/pi */
#define SG_HALF_PI R(0x1.921fb6p0)
#define SG_HALF_PI_LOW R(-0x1.777a5cp-25)
#define SG_TAN_PI_8 R(0x1.a8279ap-2)
#define SG_SINCOS_MAX R(1e4)
#define SG_TANH_ONE R(9.1)            /* 1 - tanh is below half an ulp from here on */
#define SG_ERF_ONE R(4)               /* likewise */
#else
#define SG_ROUND_MAGIC R(0x1.8p52)
#define SG_LOG2_E R(0x1.71547652b82fep0)
#define SG_LN2_HIGH R(0x1.62e42feep-1)
#define SG_LN2_LOW R(0x1.a39ef35793c76p-33)
#define SG_EXP_HIGH R(0x1.62e42fefa39efp9)
#define SG_EXP_LOW R(-0x1.6232bdd7abcd2p9)
#define SG_LEAST_NORMAL R(0x1p-1022)
#define SG_SQRT_HALF R(0x1.6a09e667f3bcdp-1)
#define SG_2_PI R(0x1.45f306dc9c883p-1)
#define SG_HALF_PI R(0x1.921fb54442d18p0)
#define SG_HALF_PI_LOW R(0x1.1a62633145c07p-54)
#define SG_TAN_PI_8 R(0x1.a827999fcef32p-2)
#define SG_SINCOS_MAX R(1e6)
#define SG_TANH_ONE R(19.1)
#define SG_ERF_ONE R(6)
#endif
#define SG_INFINITY ((real)__builtin_inf())
#define SG_NAN ((real)__builtin_nan(""))

/* c[0] + c[1] z + ... + c[n-1] z^(n-1) */
SG_INLINE vr sg_horner(vr z, const real *c, int n)
{
    vr p = vr_set1(c[n - 1]);
#pragma GCC unroll 16
    for (int i = n - 2; i >= 0; i--)
        p = vr_fma(p, z, vr_set1(c[i]));
    return p;
}
#define SG_HORNER(z, name) sg_horner(z, sg_##name##_coefficients, (int)(sizeof sg_##name##_coefficients / sizeof(real)))

/* ------------------------------------------------------------------------------------------------- exponentials */

/* x = n ln(2) + r, |r| <= ln(2)/2. Returns expm1(r); n sits in the low bits of *magic_n. */
SG_INLINE vr sg_exp_reduce(vr x, vr *magic_n)
{
    vr magic = vr_set1(SG_ROUND_MAGIC);
    *magic_n = vr_fma(x, vr_set1(SG_LOG2_E), magic);
    vr n     = vr_sub(*magic_n, magic);
    vr r     = vr_fnma(n, vr_set1(SG_LN2_HIGH), x);
    r        = vr_fnma(n, vr_set1(SG_LN2_LOW), r);
    return vr_fma(vr_mul(r, r), SG_HORNER(r, exp), r);
}

/* exp for arguments whose result is finite and normal; anything else gives nonsense. */
SG_INLINE vr sg_exp_normal(vr x)
{
    vr magic_n;
    vr p = vr_add(sg_exp_reduce(x, &magic_n), vr_set1(1));
    return vi_as_real(vi_add(vr_bits(p), vi_shl(vr_bits(magic_n), SG_MANTISSA_BITS)));
}

SG_INLINE vr vr_exp(vr x)
{
    vr y = sg_exp_normal(x);
    y    = vr_select(vr_lt(x, vr_set1(SG_EXP_LOW)), vr_zero(), y);
    return vr_select(vr_le(x, vr_set1(SG_EXP_HIGH)), y, vr_mul(x, vr_set1(SG_INFINITY))); /* also NaN */
}

SG_INLINE vr vr_expm1(vr x)
{
    vr magic_n;
    vr q = sg_exp_reduce(vr_max(vr_set1(SG_EXP_LOW), x), &magic_n);
    /* 2^(n-1), then doubled: 2^n itself overflows before the result does */
    vr half  = vi_as_real(vi_shl(vi_add(vr_bits(magic_n), vi_set1(SG_EXPONENT_BIAS - 1)), SG_MANTISSA_BITS));
    vr y     = vr_fma(half, q, vr_sub(half, vr_set1(R(0.5))));
    y        = vr_add(y, y);
    vm tiny  = vr_lt(vr_abs(x), vr_set1(SG_LEAST_NORMAL)); /* keeps the sign of zero */
    y        = vr_select(tiny, x, y);
    return vr_select(vr_le(x, vr_set1(SG_EXP_HIGH)), y, vr_mul(x, vr_set1(SG_INFINITY)));
}

/* 1 / (1 + exp(-x)) with full relative accuracy in the negative tail */
SG_INLINE vr vr_sigmoid(vr x)
{
    vr e   = vr_exp(vr_neg(vr_abs(x)));
    vr one = vr_set1(1);
    return vr_div(vr_select(vr_lt(x, vr_zero()), e, one), vr_add(one, e));
}

#if SG_REAL_IS_FLOAT
/* t / (t + 2) with t = expm1(2 |x|) = 2^n expm1(r) + (2^n - 1), which loses nothing near zero: one branch, because networks
 * spend much of their time here. */
SG_INLINE vr vr_tanh(vr x)
{
    vr a     = vr_min(vr_set1(SG_TANH_ONE), vr_abs(x)); /* in this order NaN stays NaN */
    vr b     = vr_add(a, a), magic = vr_set1(SG_ROUND_MAGIC);
    vr n     = vr_fma(b, vr_set1(SG_LOG2_E), magic);
    vr scale = vi_as_real(vi_shl(vi_add(vr_bits(n), vi_set1(SG_EXPONENT_BIAS)), SG_MANTISSA_BITS));
    /* One term of ln(2): its error, n 2e-9, matters less the larger t is. */
    vr r = vr_fnma(vr_sub(n, magic), vr_set1(SG_LN2), b);
    vr t = vr_fma(scale, vr_fma(vr_mul(r, r), SG_HORNER(r, exp), r), vr_sub(scale, vr_set1(1)));
    return vr_copysign(vr_div(t, vr_add(t, vr_set1(2))), x);
}
#else
SG_INLINE vr vr_tanh(vr x)
{
    vr a     = vr_abs(x);
    vr z     = vr_mul(x, x);
    vr small = vr_fma(vr_mul(z, a), SG_HORNER(z, tanh), a);
    vr b     = vr_min(a, vr_set1(SG_TANH_ONE));
    vr e     = sg_exp_normal(vr_add(b, b));
    vr large = vr_sub(vr_set1(1), vr_div(vr_set1(2), vr_add(e, vr_set1(1))));
    return vr_copysign(vr_select(vr_le(vr_set1(R(0.55)), a), large, small), x); /* NaN takes the small branch */
}
#endif

/* --------------------------------------------------------------------------------------------------- logarithms */

/* log(2^k (1 + f)) + c for 1 + f in [sqrt(1/2), sqrt(2)] and a small correction c */
SG_INLINE vr sg_log_sum(vr k, vr f, vr c)
{
    vr s       = vr_div(f, vr_add(f, vr_set1(2)));
    vr z       = vr_mul(s, s);
    vr half_f2 = vr_mul(vr_mul(f, vr_set1(R(0.5))), f);
    vr rest    = vr_fma(z, SG_HORNER(z, log), half_f2);
    vr low     = vr_fma(s, rest, vr_fma(k, vr_set1(SG_LN2_LOW), c));
    return vr_fma(k, vr_set1(SG_LN2_HIGH), vr_sub(f, vr_sub(half_f2, low)));
}

/* x = 2^k m, m in [sqrt(1/2), sqrt(2)), for positive normal x */
SG_INLINE vr sg_log_split(vr x, vr *k)
{
    vi one     = vr_bits(vr_set1(1)), low = vr_bits(vr_set1(SG_SQRT_HALF));
    vi shifted = vi_add(vi_sub(vr_bits(x), low), one);
    /* the biased exponent as a real, without an integer conversion: low bits of 2^mantissa_bits */
    real two_m = (real)((sg_int)1 << SG_MANTISSA_BITS);
    vr   base  = vr_set1(two_m);
    *k         = vr_sub(vi_as_real(vi_or(vi_shr(shifted, SG_MANTISSA_BITS), vr_bits(base))),
                        vr_set1(two_m + R(SG_EXPONENT_BIAS)));
    vi mantissa = vi_and(shifted, vi_set1(((sg_int)1 << SG_MANTISSA_BITS) - 1));
    return vi_as_real(vi_add(mantissa, low));
}

/* y where x is positive and finite; log of the rest */
SG_INLINE vr sg_log_specials(vr x, vr y)
{
    y = vr_select(vr_lt(x, vr_set1(SG_INFINITY)), y, x);
    return vr_select(vr_lt(vr_zero(), x), y,
                     vr_select(vr_eq(x, vr_zero()), vr_set1(-SG_INFINITY), vr_set1(SG_NAN)));
}

SG_INLINE vr vr_log(vr x)
{
    const real scale  = (real)((sg_int)1 << SG_MANTISSA_BITS);
    vm         denorm = vr_lt(x, vr_set1(SG_LEAST_NORMAL));
    vr         k;
    vr         m = sg_log_split(vr_select(denorm, vr_mul(x, vr_set1(scale)), x), &k);
    k            = vr_sub(k, vr_select(denorm, vr_set1(R(SG_MANTISSA_BITS)), vr_zero()));
    return sg_log_specials(x, sg_log_sum(k, vr_sub(m, vr_set1(1)), vr_zero()));
}

/* log(1 + x) for x > -1, finite */
SG_INLINE vr sg_log1p_normal(vr x)
{
    vr one = vr_set1(1);
    vr u   = vr_add(one, x);
    vr k;
    vr m = sg_log_split(u, &k);
    /* what the sum 1 + x lost, as a relative correction; none is needed where u was not split */
    vr lost  = vr_select(vr_lt(one, x), vr_sub(one, vr_sub(u, x)), vr_sub(x, vr_sub(u, one)));
    vm whole = vr_eq(k, vr_zero());
    vr f     = vr_select(whole, x, vr_sub(m, one));
    vr c     = vr_select(whole, vr_zero(), vr_div(lost, u));
    return sg_log_sum(k, f, c);
}

SG_INLINE vr vr_log1p(vr x)
{
    vr u = vr_add(vr_set1(1), x);
    vr y = vr_select(vr_lt(vr_abs(x), vr_set1(SG_LEAST_NORMAL)), x, sg_log1p_normal(x)); /* keeps the sign of zero */
    return sg_log_specials(u, y);
}

/* log(1 + exp(x)), no overflow for large x, full relative accuracy for negative x */
SG_INLINE vr vr_softplus(vr x)
{
    vr e = vr_exp(vr_neg(vr_abs(x)));
    return vr_add(vr_max(vr_zero(), x), sg_log1p_normal(e));
}

/* -------------------------------------------------------------------------------------------------------- erf */

SG_INLINE vr vr_erf(vr x)
{
    vr a     = vr_abs(x);
    vr z     = vr_mul(x, x);
    vr small = vr_fma(a, SG_HORNER(z, erf), a);
    vr b     = vr_min(a, vr_set1(SG_ERF_ONE));
    vr t     = vr_div(vr_sub(b, vr_set1(2)), vr_add(b, vr_set1(2)));
    vr e     = sg_exp_normal(vr_neg(vr_mul(b, b)));
    vr large = vr_fnma(e, SG_HORNER(t, erfc), vr_set1(1));
    return vr_copysign(vr_select(vr_le(vr_set1(R(0.85)), a), large, small), x);
}

/* ------------------------------------------------------------------------------------------------ trigonometry */

/* pi/2 in parts. With FMA each step is exact until the cancellation is done; without, the first parts are short enough
 * for exact products with n <= SG_SINCOS_MAX 2/pi. */
#if SG_REAL_IS_FLOAT && SG_HAS_FMA
#define SG_HALF_PI_PARTS R(0x1.921fb6p0), R(-0x1.777a5cp-25), R(-0x1.ee59dap-50)
#elif SG_REAL_IS_FLOAT
#define SG_HALF_PI_PARTS R(0x1.92p0), R(0x1.fb4p-12), R(0x1.444p-24), R(0x1.68cp-39), R(0x1.1a6264p-54)
#elif SG_HAS_FMA
#define SG_HALF_PI_PARTS R(0x1.921fb54442d18p0), R(0x1.1a62633145c07p-54), R(-0x1.f1976b7ed8fbcp-110)
#else
#define SG_HALF_PI_PARTS R(0x1.921fb544p0), R(0x1.0b4611a6p-34), R(0x1.3198a2ep-69), R(0x1.b839a252049c1p-104)
#endif

/* sin and cos of quarter pi/2 + r, |r| <= pi/4, quarter in the low two bits */
SG_INLINE void sg_sincos_quarter(vi quarter, vr r, vr *sine, vr *cosine)
{
    vr z  = vr_mul(r, r);
    vr s  = vr_fma(vr_mul(z, r), SG_HORNER(z, sin), r);
    vr c  = vr_fma(vr_mul(z, z), SG_HORNER(z, cos), vr_fnma(vr_set1(R(0.5)), z, vr_set1(1)));
    vm even = vi_eq(vi_and(quarter, vi_set1(1)), vi_set1(0));
    /* bit 1 of the quarter is the sign of sin; that of quarter + 1 the sign of cos */
    vi sign_s = vi_shl(vi_and(quarter, vi_set1(2)), SG_REAL_BITS - 2);
    vi sign_c = vi_shl(vi_and(vi_add(quarter, vi_set1(1)), vi_set1(2)), SG_REAL_BITS - 2);
    *sine     = vi_as_real(vi_xor(vr_bits(vr_select(even, s, c)), sign_s));
    *cosine   = vi_as_real(vi_xor(vr_bits(vr_select(even, c, s)), sign_c));
}

SG_INLINE void vr_sincos(vr x, vr *sine, vr *cosine)
{
    static const real part[] = {SG_HALF_PI_PARTS};
    vr                magic  = vr_set1(SG_ROUND_MAGIC);
    vr                n      = vr_fma(x, vr_set1(SG_2_PI), magic);
    vi                bits   = vr_bits(n);
    vr                r      = x;
    n                        = vr_sub(n, magic);
#pragma GCC unroll 8
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        r = vr_fnma(n, vr_set1(part[i]), r);
    sg_sincos_quarter(bits, r, sine, cosine);
    vr a     = vr_abs(x);
    vm valid = vr_le(a, vr_set1(SG_SINCOS_MAX));
    *sine    = vr_select(vr_lt(a, vr_set1(SG_LEAST_NORMAL)), x, *sine); /* keeps the sign of zero */
    *sine    = vr_select(valid, *sine, vr_set1(SG_NAN));
    *cosine  = vr_select(valid, *cosine, vr_set1(SG_NAN));
}

SG_INLINE vr vr_sin(vr x)
{
    vr sine, cosine;
    vr_sincos(x, &sine, &cosine);
    return sine;
}

SG_INLINE vr vr_cos(vr x)
{
    vr sine, cosine;
    vr_sincos(x, &sine, &cosine);
    return cosine;
}

/* sin and cos of 2 pi x for 0 <= x < 1: the reduction is exact */
SG_INLINE void vr_sincos_2pi(vr x, vr *sine, vr *cosine)
{
    vr magic = vr_set1(SG_ROUND_MAGIC);
    vr x4    = vr_mul(x, vr_set1(4));
    vr n     = vr_add(x4, magic);
    vr r     = vr_mul(vr_sub(x4, vr_sub(n, magic)), vr_set1(SG_HALF_PI));
    sg_sincos_quarter(vr_bits(n), r, sine, cosine);
}

/* Angle of (a, b) from the axis of a, both >= 0, in [0, pi/2]. One division: u = (small - large) / (small + large) turns by pi/4. */
SG_INLINE vr sg_atan_quadrant(vr a, vr b)
{
    vm swap  = vr_lt(a, b);
    vr large = vr_select(swap, b, a), small = vr_select(swap, a, b);
    vm turn  = vr_lt(vr_mul(large, vr_set1(SG_TAN_PI_8)), small);
    vr top = vr_select(turn, vr_sub(small, large), small), bottom = vr_select(turn, vr_add(small, large), large);
    vr u = vr_select(vr_eq(large, vr_zero()), vr_zero(), vr_div(top, bottom));
    vr z = vr_mul(u, u);
    vr r = vr_fma(vr_mul(z, u), SG_HORNER(z, atan), vr_select(turn, vr_set1(SG_HALF_PI_LOW / 2), vr_zero()));
    r    = vr_add(vr_select(turn, vr_set1(SG_HALF_PI / 2), vr_zero()), vr_add(u, r));
    return vr_select(swap, vr_sub(vr_set1(SG_HALF_PI), vr_sub(r, vr_set1(SG_HALF_PI_LOW))), r);
}

SG_INLINE vr vr_atan(vr x) { return vr_copysign(sg_atan_quadrant(vr_set1(1), vr_abs(x)), x); }

SG_INLINE vr vr_atan2(vr y, vr x)
{
    vr r = sg_atan_quadrant(vr_abs(x), vr_abs(y));
    r    = vr_select(vr_lt(x, vr_zero()), vr_sub(vr_set1(2 * SG_HALF_PI), vr_sub(r, vr_set1(2 * SG_HALF_PI_LOW))), r);
    return vr_copysign(r, y);
}

/* sin and cos of 2 pi x for |x| <= 1/2, without a choice of quadrant: with w = 1/4 - |x|, cos(2 pi x) = sin(2 pi w) and
 * |sin(2 pi x)| = cos(2 pi w). The error is up to 1.6 ulp of 1 (measured); sin near 0 has no relative accuracy. */
SG_INLINE void vr_sincos_turn(vr x, vr *sine, vr *cosine)
{
    vr w    = vr_sub(vr_set1(R(0.25)), vr_abs(x));
    vr z    = vr_mul(w, w);
    *cosine = vr_mul(w, SG_HORNER(z, sin_turn));
    *sine   = vi_as_real(vi_xor(vr_bits(SG_HORNER(z, cos_turn)), vi_and(vr_bits(x), vr_bits(vr_set1(R(-0.0))))));
}

/* ----------------------------------------------------------------------------------------------- powers and roots */

SG_INLINE vr vr_pow2(vr x) { return vr_mul(x, x); }
SG_INLINE vr vr_pow4(vr x) { return vr_pow2(vr_pow2(x)); }
SG_INLINE vr vr_pow8(vr x) { return vr_pow2(vr_pow4(x)); }

/* x^n by repeated squaring; n may be negative; x^0 = 1 */
SG_INLINE vr vr_powi(vr x, int n)
{
    vr y = vr_set1(1);
    for (unsigned k = n < 0 ? 0u - (unsigned)n : (unsigned)n; k; k >>= 1) {
        if (k & 1)
            y = vr_mul(y, x);
        if (k > 1)
            x = vr_mul(x, x);
    }
    return n < 0 ? vr_div(vr_set1(1), y) : y;
}

SG_INLINE vr vr_root2(vr x) { return vr_sqrt(x); }
SG_INLINE vr vr_root4(vr x) { return vr_sqrt(vr_sqrt(x)); }
SG_INLINE vr vr_root8(vr x) { return vr_sqrt(vr_root4(x)); }
SG_INLINE vr vr_root16(vr x) { return vr_sqrt(vr_root8(x)); }

/* x^(1/n) of x >= 0, n >= 1; NaN for negative x (n = 1 returns x) */
SG_INLINE vr vr_root(vr x, int n)
{
    switch (n) {
    case 1: return x;
    case 2: return vr_root2(x);
    case 4: return vr_root4(x);
    case 8: return vr_root8(x);
    case 16: return vr_root16(x);
    default: break;
    }
    vr y = vr_exp(vr_div(vr_log(x), vr_set1((real)n)));
    /* exp(log) is off by |log x| / n ulp: one Newton step. Its power may over- or underflow at the very ends of the range. */
    vr defect = vr_sub(vr_div(x, vr_powi(y, n)), vr_set1(1));
    vr better = vr_fma(vr_div(y, vr_set1((real)n)), defect, y);
    vm usable = vm_and(vr_le(vr_set1(SG_LEAST_NORMAL), x), vr_lt(vr_abs(defect), vr_set1(R(0.01))));
    return vr_select(usable, better, y);
}

#endif
