/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One vector vocabulary for hot files. A hot file (NAME.hot.c) is compiled once per instruction set and precision; the build
 * defines SG_ISA_V4, SG_ISA_V3, SG_ISA_V2 or SG_ISA_PORTABLE code paths through the compiler's own macros, and
 *   SG_REAL_BITS  32 or 64,
 *   SG_SUFFIX     f32_v3, f64_portable, ...
 * and the file exports one constant table named with SG_HOT(name), e.g. sg_nn_kernels_f32_v3.
 *
 *   real      float or double           vr       vector of VL reals
 *   vm        mask of VL lanes          vi       vector of VL signed integers as wide as real
 *
 * Every vr_fma is one rounding on v3 and v4 (and where the portable target has FMA); elsewhere multiply then add. Nothing here
 * sums across lanes except vr_sum, whose order is fixed: lane i with lane i + VL/2, and so on down; do not use it where bits
 * must agree between instruction sets. Compile with -ffp-contract=off.
 */
#ifndef SG_BASE_SIMD_H
#define SG_BASE_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SG_REAL_BITS
#error "simd.h is for hot files: SG_REAL_BITS and SG_SUFFIX come from the build"
#endif

#define SG_PASTE2(a, b) a##_##b
#define SG_PASTE(a, b) SG_PASTE2(a, b)
#define SG_HOT(name) SG_PASTE(name, SG_SUFFIX)
#define SG_INLINE static inline __attribute__((always_inline))

#if SG_REAL_BITS == 32
typedef float    real;
typedef int32_t  sg_int;
typedef uint32_t sg_uint;
#define SG_REAL_IS_FLOAT 1
#define SG_MANTISSA_BITS 23
#define SG_EXPONENT_BIAS 127
#else
typedef double   real;
typedef int64_t  sg_int;
typedef uint64_t sg_uint;
#define SG_REAL_IS_FLOAT 0
#define SG_MANTISSA_BITS 52
#define SG_EXPONENT_BIAS 1023
#endif

/* A literal in the precision of the file. */
#define R(x) ((real)(x))

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) /* ------------------------------- v4 */

#include <immintrin.h>
#define SG_SIMD_NAME "avx512"
#define SG_HAS_FMA 1
#if SG_REAL_IS_FLOAT
#define VL 16
typedef __m512    vr;
typedef __m512i   vi;
typedef __mmask16 vm;
#define SG_VR(op) _mm512_##op##_ps
#define SG_MASK_CMP(a, b, p) _mm512_cmp_ps_mask(a, b, p)
SG_INLINE vi  vr_bits(vr a) { return _mm512_castps_si512(a); }
SG_INLINE vr  vi_as_real(vi a) { return _mm512_castsi512_ps(a); }
SG_INLINE vi  vi_set1(sg_int a) { return _mm512_set1_epi32(a); }
SG_INLINE vi  vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
SG_INLINE vi  vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
SG_INLINE vi  vr_to_int(vr a) { return _mm512_cvtps_epi32(a); } /* round to nearest even */
SG_INLINE vr  vi_to_real(vi a) { return _mm512_cvtepi32_ps(a); }
#define vi_shl(a, n) _mm512_slli_epi32(a, n)
#define vi_shr(a, n) _mm512_srai_epi32(a, n)
SG_INLINE vm  vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
#else
#define VL 8
typedef __m512d  vr;
typedef __m512i  vi;
typedef __mmask8 vm;
#define SG_VR(op) _mm512_##op##_pd
#define SG_MASK_CMP(a, b, p) _mm512_cmp_pd_mask(a, b, p)
SG_INLINE vi  vr_bits(vr a) { return _mm512_castpd_si512(a); }
SG_INLINE vr  vi_as_real(vi a) { return _mm512_castsi512_pd(a); }
SG_INLINE vi  vi_set1(sg_int a) { return _mm512_set1_epi64(a); }
SG_INLINE vi  vi_add(vi a, vi b) { return _mm512_add_epi64(a, b); }
SG_INLINE vi  vi_sub(vi a, vi b) { return _mm512_sub_epi64(a, b); }
SG_INLINE vi  vr_to_int(vr a) { return _mm512_cvtpd_epi64(a); }
SG_INLINE vr  vi_to_real(vi a) { return _mm512_cvtepi64_pd(a); }
#define vi_shl(a, n) _mm512_slli_epi64(a, n)
#define vi_shr(a, n) _mm512_srai_epi64(a, n)
SG_INLINE vm  vi_eq(vi a, vi b) { return _mm512_cmpeq_epi64_mask(a, b); }
#endif
SG_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
SG_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
SG_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
SG_INLINE vr vr_load(const real *p) { return SG_VR(loadu)(p); }
SG_INLINE void vr_store(real *p, vr a) { SG_VR(storeu)(p, a); }
SG_INLINE vm vm_first(size_t n) { return (vm)((1u << n) - 1u); } /* n <= VL lanes */
SG_INLINE vr vr_load_n(const real *p, size_t n) { return SG_VR(maskz_loadu)(vm_first(n), p); }
SG_INLINE void vr_store_n(real *p, vr a, size_t n) { SG_VR(mask_storeu)(p, vm_first(n), a); }
SG_INLINE vr vr_set1(real a) { return SG_VR(set1)(a); }
SG_INLINE vr vr_zero(void) { return SG_VR(set1)(0); }
SG_INLINE vr vr_fma(vr a, vr b, vr c) { return SG_VR(fmadd)(a, b, c); }   /*  a b + c */
SG_INLINE vr vr_fnma(vr a, vr b, vr c) { return SG_VR(fnmadd)(a, b, c); } /* -a b + c */
SG_INLINE vr vr_add(vr a, vr b) { return SG_VR(add)(a, b); }
SG_INLINE vr vr_sub(vr a, vr b) { return SG_VR(sub)(a, b); }
SG_INLINE vr vr_mul(vr a, vr b) { return SG_VR(mul)(a, b); }
SG_INLINE vr vr_div(vr a, vr b) { return SG_VR(div)(a, b); }
SG_INLINE vr vr_sqrt(vr a) { return SG_VR(sqrt)(a); }
SG_INLINE vr vr_max(vr a, vr b) { return SG_VR(max)(a, b); } /* b where either is NaN */
SG_INLINE vr vr_min(vr a, vr b) { return SG_VR(min)(a, b); }
SG_INLINE vr vr_round(vr a) { return SG_VR(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
SG_INLINE vr vr_floor(vr a) { return SG_VR(roundscale)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
SG_INLINE vr vr_abs(vr a) { return SG_VR(abs)(a); }
SG_INLINE vm vr_lt(vr a, vr b) { return SG_MASK_CMP(a, b, _CMP_LT_OQ); }
SG_INLINE vm vr_le(vr a, vr b) { return SG_MASK_CMP(a, b, _CMP_LE_OQ); }
SG_INLINE vm vr_eq(vr a, vr b) { return SG_MASK_CMP(a, b, _CMP_EQ_OQ); }
SG_INLINE vm vr_isnan(vr a) { return SG_MASK_CMP(a, a, _CMP_UNORD_Q); }
SG_INLINE vm vm_and(vm a, vm b) { return (vm)(a & b); }
SG_INLINE vm vm_or(vm a, vm b) { return (vm)(a | b); }
SG_INLINE vm vm_not(vm a) { return (vm)~a; }
SG_INLINE int vm_any(vm a) { return a != 0; }
SG_INLINE vr vr_select(vm m, vr a, vr b) { return SG_VR(mask_blend)(m, b, a); } /* m ? a : b */
SG_INLINE vi vi_select(vm m, vi a, vi b) { return vr_bits(vr_select(m, vi_as_real(a), vi_as_real(b))); }

#elif defined(__AVX2__) && defined(__FMA__) /* ---------------------------------------------------------------- v3 */

#include <immintrin.h>
#define SG_SIMD_NAME "avx2"
#define SG_HAS_FMA 1
#if SG_REAL_IS_FLOAT
#define VL 8
typedef __m256  vr;
typedef __m256i vi;
typedef __m256  vm;
#define SG_VR(op) _mm256_##op##_ps
SG_INLINE vi vr_bits(vr a) { return _mm256_castps_si256(a); }
SG_INLINE vr vi_as_real(vi a) { return _mm256_castsi256_ps(a); }
SG_INLINE vi vi_set1(sg_int a) { return _mm256_set1_epi32(a); }
SG_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
SG_INLINE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
SG_INLINE vi vr_to_int(vr a) { return _mm256_cvtps_epi32(a); }
SG_INLINE vr vi_to_real(vi a) { return _mm256_cvtepi32_ps(a); }
#define vi_shl(a, n) _mm256_slli_epi32(a, n)
#define vi_shr(a, n) _mm256_srai_epi32(a, n)
SG_INLINE vm vi_eq(vi a, vi b) { return vi_as_real(_mm256_cmpeq_epi32(a, b)); }
SG_INLINE vi sg_lane_mask(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#else
#define VL 4
typedef __m256d vr;
typedef __m256i vi;
typedef __m256d vm;
#define SG_VR(op) _mm256_##op##_pd
SG_INLINE vi vr_bits(vr a) { return _mm256_castpd_si256(a); }
SG_INLINE vr vi_as_real(vi a) { return _mm256_castsi256_pd(a); }
SG_INLINE vi vi_set1(sg_int a) { return _mm256_set1_epi64x(a); }
SG_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi64(a, b); }
SG_INLINE vi vi_sub(vi a, vi b) { return _mm256_sub_epi64(a, b); }
/* AVX2 has no 64-bit conversions: through 32 bits, enough for exponents and quadrants (|a| < 2^31). */
SG_INLINE vi vr_to_int(vr a) { return _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(a)); }
SG_INLINE vr vi_to_real(vi a)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    return _mm256_cvtepi32_pd(_mm256_castsi256_si128(_mm256_permutevar8x32_epi32(a, even)));
}
#define vi_shl(a, n) _mm256_slli_epi64(a, n)
/* Arithmetic shift right does not exist for 64 bits: logical, callers shift non-negative values only. */
#define vi_shr(a, n) _mm256_srli_epi64(a, n)
SG_INLINE vm vi_eq(vi a, vi b) { return vi_as_real(_mm256_cmpeq_epi64(a, b)); }
SG_INLINE vi sg_lane_mask(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif
SG_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
SG_INLINE vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
SG_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
SG_INLINE vr vr_load(const real *p) { return SG_VR(loadu)(p); }
SG_INLINE void vr_store(real *p, vr a) { SG_VR(storeu)(p, a); }
SG_INLINE vm vm_first(size_t n) { return vi_as_real(sg_lane_mask(n)); }
SG_INLINE vr vr_load_n(const real *p, size_t n) { return SG_VR(maskload)(p, sg_lane_mask(n)); }
SG_INLINE void vr_store_n(real *p, vr a, size_t n) { SG_VR(maskstore)(p, sg_lane_mask(n), a); }
SG_INLINE vr vr_set1(real a) { return SG_VR(set1)(a); }
SG_INLINE vr vr_zero(void) { return SG_VR(set1)(0); }
SG_INLINE vr vr_fma(vr a, vr b, vr c) { return SG_VR(fmadd)(a, b, c); }
SG_INLINE vr vr_fnma(vr a, vr b, vr c) { return SG_VR(fnmadd)(a, b, c); }
SG_INLINE vr vr_add(vr a, vr b) { return SG_VR(add)(a, b); }
SG_INLINE vr vr_sub(vr a, vr b) { return SG_VR(sub)(a, b); }
SG_INLINE vr vr_mul(vr a, vr b) { return SG_VR(mul)(a, b); }
SG_INLINE vr vr_div(vr a, vr b) { return SG_VR(div)(a, b); }
SG_INLINE vr vr_sqrt(vr a) { return SG_VR(sqrt)(a); }
SG_INLINE vr vr_max(vr a, vr b) { return SG_VR(max)(a, b); }
SG_INLINE vr vr_min(vr a, vr b) { return SG_VR(min)(a, b); }
SG_INLINE vr vr_round(vr a) { return SG_VR(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
SG_INLINE vr vr_floor(vr a) { return SG_VR(round)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
SG_INLINE vr vr_abs(vr a) { return SG_VR(andnot)(vr_set1(R(-0.0)), a); }
SG_INLINE vm vr_lt(vr a, vr b) { return SG_VR(cmp)(a, b, _CMP_LT_OQ); }
SG_INLINE vm vr_le(vr a, vr b) { return SG_VR(cmp)(a, b, _CMP_LE_OQ); }
SG_INLINE vm vr_eq(vr a, vr b) { return SG_VR(cmp)(a, b, _CMP_EQ_OQ); }
SG_INLINE vm vr_isnan(vr a) { return SG_VR(cmp)(a, a, _CMP_UNORD_Q); }
SG_INLINE vm vm_and(vm a, vm b) { return SG_VR(and)(a, b); }
SG_INLINE vm vm_or(vm a, vm b) { return SG_VR(or)(a, b); }
SG_INLINE vm vm_not(vm a) { return vi_as_real(_mm256_xor_si256(vr_bits(a), vi_set1(-1))); }
SG_INLINE int vm_any(vm a) { return SG_VR(movemask)(a) != 0; }
SG_INLINE vr vr_select(vm m, vr a, vr b) { return SG_VR(blendv)(b, a, m); }
SG_INLINE vi vi_select(vm m, vi a, vi b) { return vr_bits(vr_select(m, vi_as_real(a), vi_as_real(b))); }

#else /* ------------------------------------------------------------------------ v2 and portable: vector extensions */

#define SG_SIMD_NAME "vector"
#define SG_VECTOR_BYTES 16
typedef real   vr __attribute__((vector_size(SG_VECTOR_BYTES)));
typedef sg_int  vi __attribute__((vector_size(SG_VECTOR_BYTES)));
typedef sg_uint vu __attribute__((vector_size(SG_VECTOR_BYTES)));
typedef vi     vm;
#define VL (SG_VECTOR_BYTES / (int)sizeof(real))
#if SG_REAL_IS_FLOAT
#define SG_SCALAR(function) function##f
#if defined(__FP_FAST_FMAF)
#define SG_HAS_FMA 1
#endif
#else
#define SG_SCALAR(function) function
#if defined(__FP_FAST_FMA)
#define SG_HAS_FMA 1
#endif
#endif
#ifndef SG_HAS_FMA
#define SG_HAS_FMA 0
#endif
#define SG_LANES(expression)             \
    vr r;                                \
    for (int i = 0; i < VL; i++)         \
        r[i] = (expression);             \
    return r
SG_INLINE vi vr_bits(vr a) { return (vi)a; }
SG_INLINE vr vi_as_real(vi a) { return (vr)a; }
SG_INLINE vi vi_set1(sg_int a) { return a - (vi){0}; }
SG_INLINE vi vi_add(vi a, vi b) { return (vi)((vu)a + (vu)b); } /* wraps, as the instructions do */
SG_INLINE vi vi_sub(vi a, vi b) { return (vi)((vu)a - (vu)b); }
#define vi_shl(a, n) ((vi)((vu)(a) << (n)))
#define vi_shr(a, n) ((vi)(a) >> (n))
SG_INLINE vm vi_eq(vi a, vi b) { return a == b; }
SG_INLINE vi vi_and(vi a, vi b) { return a & b; }
SG_INLINE vi vi_or(vi a, vi b) { return a | b; }
SG_INLINE vi vi_xor(vi a, vi b) { return a ^ b; }
SG_INLINE vr vr_load(const real *p)
{
    vr a;
    memcpy(&a, p, sizeof a);
    return a;
}
SG_INLINE void vr_store(real *p, vr a) { memcpy(p, &a, sizeof a); }
SG_INLINE vm vm_first(size_t n)
{
    vm m;
    for (int i = 0; i < VL; i++)
        m[i] = (size_t)i < n ? -1 : 0;
    return m;
}
SG_INLINE vr vr_load_n(const real *p, size_t n) { SG_LANES((size_t)i < n ? p[i] : 0); }
SG_INLINE void vr_store_n(real *p, vr a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = a[i];
}
#if SG_REAL_IS_FLOAT
SG_INLINE vr vr_set1(real a) { return (vr){a, a, a, a}; } /* a loop over the lanes becomes four insertions */
#else
SG_INLINE vr vr_set1(real a) { return (vr){a, a}; }
#endif
SG_INLINE vr vr_zero(void) { return (vr){0}; }
SG_INLINE vr vr_add(vr a, vr b) { return a + b; }
SG_INLINE vr vr_sub(vr a, vr b) { return a - b; }
SG_INLINE vr vr_mul(vr a, vr b) { return a * b; }
SG_INLINE vr vr_div(vr a, vr b) { return a / b; }
#if SG_HAS_FMA
SG_INLINE vr vr_fma(vr a, vr b, vr c) { SG_LANES(SG_SCALAR(__builtin_fma)(a[i], b[i], c[i])); }
SG_INLINE vr vr_fnma(vr a, vr b, vr c) { SG_LANES(SG_SCALAR(__builtin_fma)(-a[i], b[i], c[i])); }
#else
SG_INLINE vr vr_fma(vr a, vr b, vr c) { return a * b + c; }
SG_INLINE vr vr_fnma(vr a, vr b, vr c) { return c - a * b; }
#endif
SG_INLINE vr vr_sqrt(vr a) { SG_LANES(SG_SCALAR(__builtin_sqrt)(a[i])); }
SG_INLINE vm vr_lt(vr a, vr b) { return a < b; }
SG_INLINE vm vr_le(vr a, vr b) { return a <= b; }
SG_INLINE vm vr_eq(vr a, vr b) { return a == b; }
SG_INLINE vm vr_isnan(vr a) { return a != a; }
SG_INLINE vm vm_and(vm a, vm b) { return a & b; }
SG_INLINE vm vm_or(vm a, vm b) { return a | b; }
SG_INLINE vm vm_not(vm a) { return ~a; }
SG_INLINE int vm_any(vm a)
{
    sg_int any = 0;
    for (int i = 0; i < VL; i++)
        any |= a[i];
    return any != 0;
}
SG_INLINE vi vi_select(vm m, vi a, vi b) { return (m & a) | (~m & b); }
SG_INLINE vr vr_select(vm m, vr a, vr b) { return vi_as_real(vi_select(m, vr_bits(a), vr_bits(b))); }
SG_INLINE vr vr_max(vr a, vr b) { return vr_select(b < a, a, b); }
SG_INLINE vr vr_min(vr a, vr b) { return vr_select(a < b, a, b); }
SG_INLINE vr vr_abs(vr a) { return vi_as_real(vi_and(vr_bits(a), ~vr_bits(vr_set1(R(-0.0))))); }
SG_INLINE vr vr_round(vr a) { SG_LANES(SG_SCALAR(__builtin_rint)(a[i])); }
SG_INLINE vr vr_floor(vr a) { SG_LANES(SG_SCALAR(__builtin_floor)(a[i])); }
SG_INLINE vi vr_to_int(vr a)
{
    vi r;
    for (int i = 0; i < VL; i++)
        r[i] = (sg_int)SG_SCALAR(__builtin_rint)(a[i]);
    return r;
}
SG_INLINE vr vi_to_real(vi a) { SG_LANES((real)a[i]); }

#endif /* ------------------------------------------------------------------------------------ common to all of them */

SG_INLINE vr vr_neg(vr a) { return vi_as_real(vi_xor(vr_bits(a), vr_bits(vr_set1(R(-0.0))))); }
SG_INLINE vr vr_copysign(vr magnitude, vr sign)
{
    vi bit = vr_bits(vr_set1(R(-0.0)));
    return vi_as_real(vi_or(vr_bits(vr_abs(magnitude)), vi_and(vr_bits(sign), bit)));
}
/* 2^n for integer-valued n within the exponent range of normal numbers. */
SG_INLINE vr vr_exp2_int(vi n) { return vi_as_real(vi_shl(vi_add(n, vi_set1(SG_EXPONENT_BIAS)), SG_MANTISSA_BITS)); }
SG_INLINE real vr_sum(vr a)
{
    real lane[VL];
    vr_store(lane, a);
    for (int half = VL / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

#endif
