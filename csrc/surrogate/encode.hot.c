/* SPDX-License-Identifier: BSD-3-Clause */
/* Elementary steps on strips: a strip holds one column of up to STRIP rows, or up to STRIP neighbouring
 * columns of one row. Which of the two is chosen depends on the strides; the arithmetic of an element is
 * the same. */
#include "base/simd.h"
#include "base/vmath.h"

#include "surrogate/encode.h"

#define STRIP 128 /* elements: half a kilobyte of floats, a multiple of every VL */

/* Angle in [0, 2 pi) of the direction (c, s): a quintic of atan to 1e-3, then one correction by the sine
 * of what is missing, delta = asin(s cos t - c sin t) = d + d^3 / 6 + 3 d^5 / 40, whose error d^7 is below
 * an ulp of double. */
SG_INLINE vr angle(vr s, vr c)
{
    vr as = vr_abs(s), ac = vr_abs(c);
    vr high = vr_max(as, ac), low = vr_min(as, ac);
    vm none = vr_eq(high, vr_zero());
    high    = vr_select(none, vr_set1(R(1)), high);
    vr q = vr_div(low, high), q2 = vr_mul(q, q);
    vr t  = vr_fma(q2, vr_set1(R(0.079331)), vr_set1(R(-0.288679)));
    t     = vr_mul(q, vr_fma(q2, t, vr_set1(R(0.995354))));
    t     = vr_select(vr_lt(ac, as), vr_sub(vr_set1(R(1.57079632679489661923)), t), t);
    t     = vr_select(vr_lt(c, vr_zero()), vr_sub(vr_set1(R(3.14159265358979323846)), t), t);
    t     = vr_select(vr_lt(s, vr_zero()), vr_neg(t), t);
    vr us = vr_div(s, high), uc = vr_div(c, high);
    vr norm = vr_sqrt(vr_fma(us, us, vr_mul(uc, uc)));
    norm    = vr_select(none, vr_set1(R(1)), norm);
    vr sine, cosine;
    vr_sincos(t, &sine, &cosine);
    vr d = vr_div(vr_fnma(uc, sine, vr_mul(us, cosine)), norm), d2 = vr_mul(d, d);
    vr e = vr_fma(d2, vr_set1(R(0.075)), vr_set1(R(1.0 / 6)));
    t    = vr_add(t, vr_fma(vr_mul(d, d2), e, d));
    t    = vr_select(vr_lt(t, vr_zero()), vr_add(t, vr_set1(R(6.28318530717958647693))), t);
    /* A tiny negative angle rounds to 2 pi itself. */
    return vr_select(vr_lt(t, vr_set1(R(6.28318530717958647693))), t, vr_zero());
}

SG_INLINE vm is_missing(vr x, vr missing)
{
    return vm_or(vr_eq(x, missing), vm_and(vr_isnan(x), vr_isnan(missing)));
}

/* Sends n elements through one step, from x to y, which may be the same. The parameters are one pair for
 * all elements, or one pair per element. */
#define EACH(expression)                                                    \
    do {                                                                    \
        size_t i = 0;                                                       \
        for (; i + VL <= n; i += VL) {                                      \
            vr v = vr_load(x + i);                                          \
            vr a = per_element ? vr_load(pa + i) : vr_set1(pa[0]);          \
            vr b = per_element ? vr_load(pb + i) : vr_set1(pb[0]);          \
            (void)a, (void)b;                                               \
            vr_store(y + i, (expression));                                  \
        }                                                                   \
        if (i < n) {                                                        \
            vr v = vr_load_n(x + i, n - i);                                 \
            vr a = per_element ? vr_load_n(pa + i, n - i) : vr_set1(pa[0]); \
            vr b = per_element ? vr_load_n(pb + i, n - i) : vr_set1(pb[0]); \
            (void)a, (void)b;                                               \
            vr_store_n(y + i, (expression), n - i);                         \
        }                                                                   \
    } while (0);                                                            \
    break

SG_INLINE void apply(int op, size_t n, const real *x, real *y, const real *pa, const real *pb,
                     const int per_element, const real *mask)
{
    const vr zero = vr_zero(), one = vr_set1(R(1));
    switch (op) {
    case SG_STEP_STANDARDISE: EACH(vr_mul(vr_sub(v, a), b));
    case SG_STEP_AFFINE: EACH(vr_fma(a, v, b));
    case SG_STEP_LOG: EACH(vr_log(v));
    case SG_STEP_EXP: EACH(vr_exp(v));
    case SG_STEP_ROOT: EACH(vr_root(v, (int)pa[0]));
    case SG_STEP_POWER:
        switch ((int)pa[0]) { /* the same products as vr_powi, without its loop */
        case 2: EACH(vr_pow2(v));
        case 4: EACH(vr_pow4(v));
        case 8: EACH(vr_pow8(v));
        default: EACH(vr_powi(v, (int)pa[0]));
        }
        break;
    case SG_STEP_SIGNED_LOG: EACH(vr_copysign(vr_log1p(vr_div(vr_abs(v), a)), v));
    case SG_STEP_SIGNED_EXP: EACH(vr_copysign(vr_mul(a, vr_expm1(vr_abs(v))), v));
    case SG_STEP_SIN: EACH(vr_sin(vr_mul(a, v)));
    case SG_STEP_COS: EACH(vr_cos(vr_mul(a, v)));
    case SG_STEP_ONE_HOT: EACH(vr_select(vr_eq(v, a), one, zero));
    case SG_STEP_PRESENT: EACH(vr_select(is_missing(v, a), zero, one));
    case SG_STEP_FILL: EACH(vr_select(is_missing(v, a), b, v));
    case SG_STEP_CLIP: EACH(vr_select(vr_lt(v, a), a, vr_select(vr_lt(b, v), b, v)));
    case SG_STEP_UNMASK: EACH(vr_select(vr_lt(vr_load(mask + i), vr_set1(R(0.5))), a, v));
    default: break; /* sg_program_create lets no other number pass */
    }
}

/* Out of line: a call per strip costs little, two copies of all steps per pair of element types would cost
 * much. */
static __attribute__((noinline)) void apply_same(int op, size_t n, const real *x, real *y, const real *pa,
                                                 const real *pb, const real *mask)
{
    apply(op, n, x, y, pa, pb, 0, mask);
}

static __attribute__((noinline)) void apply_each(int op, size_t n, const real *x, real *y, const real *pa,
                                                 const real *pb)
{
    apply(op, n, x, y, pa, pb, 1, x);
}

/* slope *= derivative of a step at x, where it gives y. */
static __attribute__((noinline)) void multiply_slope(int op, size_t n, const real *x, const real *y, real *slope, real pa, real pb,
                                                     const real *mask)
{
    const vr zero = vr_zero(), one = vr_set1(R(1)), a = vr_set1(pa), b = vr_set1(pb);
#define SLOPE(expression)                                           \
    for (size_t i = 0; i < n; i += VL) {                            \
        vr v = vr_load(x + i), w = vr_load(y + i);                  \
        (void)v, (void)w;                                           \
        vr_store(slope + i, vr_mul(vr_load(slope + i), expression)); \
    }                                                               \
    break
    switch (op) {
    case SG_STEP_STANDARDISE: SLOPE(b);
    case SG_STEP_AFFINE: SLOPE(a);
    case SG_STEP_LOG: SLOPE(vr_div(one, v));
    case SG_STEP_EXP: SLOPE(w);
    case SG_STEP_ROOT: SLOPE(vr_div(vr_select(vr_eq(v, zero), one, w), vr_mul(a, v))); /* infinite at 0 */
    case SG_STEP_POWER: SLOPE(vr_mul(a, vr_powi(v, (int)pa - 1)));
    case SG_STEP_SIGNED_LOG: SLOPE(vr_div(one, vr_add(a, vr_abs(v))));
    case SG_STEP_SIGNED_EXP: SLOPE(vr_add(vr_abs(w), a));
    case SG_STEP_SIN: SLOPE(vr_mul(a, vr_cos(vr_mul(a, v))));
    case SG_STEP_COS: SLOPE(vr_neg(vr_mul(a, vr_sin(vr_mul(a, v)))));
    case SG_STEP_ONE_HOT:
    case SG_STEP_PRESENT: SLOPE(zero);
    case SG_STEP_FILL: SLOPE(vr_select(is_missing(v, a), zero, one));
    case SG_STEP_CLIP: SLOPE(vr_select(vm_or(vr_lt(v, a), vr_lt(b, v)), zero, one));
    case SG_STEP_UNMASK: SLOPE(vr_select(vr_lt(vr_load(mask + i), vr_set1(R(0.5))), zero, one));
    default: break;
    }
#undef SLOPE
}

#if SG_REAL_IS_FLOAT
#define VALUES(program) ((program)->value_f32)
#define PIECES(program) ((program)->piece_f32)
#else
#define VALUES(program) ((program)->value_f64)
#define PIECES(program) ((program)->piece_f64)
#endif

/* The piece of a curve that holds x, or y on the way back: one per element of a strip. Knots at equal distances, as those
 * in the direction of the normal number are, need no search: the guess is at most one off. NaN falls into the first piece. */
static size_t find_piece(const real *piece, size_t n, size_t which, real at, real first, real per_step)
{
    const real *knot = piece + which;
    size_t      low  = 0, high = n;
    if (per_step > 0) {
        const real guess = (at - first) * per_step;
        low = guess > 0 ? (guess < (real)(n - 1) ? (size_t)guess : n - 1) : 0;
        while (low && at < knot[low * SG_PIECE_SIZE])
            low--;
        while (low + 1 < n && at >= knot[(low + 1) * SG_PIECE_SIZE])
            low++;
        return low;
    }
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        const int    above  = at >= knot[middle * SG_PIECE_SIZE];
        low                 = above ? middle : low;
        high                = above ? high : middle;
    }
    return low;
}

/* y of a strip of whole vectors, and its derivative times slope if slope is not NULL. */
static __attribute__((noinline)) void apply_curve(const sg_program *program, const sg_step *step, size_t n, const real *x, real *y,
                                                  real *slope)
{
    const int    back  = step->op == SG_STEP_UNCURVE;
    const size_t which = back ? SG_PIECE_Y : SG_PIECE_X, n_knot = (size_t)step->a;
    const real  *piece = PIECES(program) + (size_t)step->b * SG_PIECE_SIZE;
    const real   per   = back ? 0 : piece[SG_PIECE_PER_UNIT], first = piece[SG_PIECE_X];
    const vr     one = vr_set1(R(1)), zero = vr_zero(), lowest = vr_set1(piece[which]);
    const vr     highest = vr_set1(piece[(n_knot - 1) * SG_PIECE_SIZE + which]);
    for (size_t i = 0; i < n; i += VL) {
        real lane[SG_PIECE_SIZE][VL];
        for (size_t l = 0; l < VL; l++) {
            const real *p = piece + find_piece(piece, n_knot, which, x[i + l], first, per) * SG_PIECE_SIZE;
            for (int k = 0; k <= SG_PIECE_D1; k++)
                lane[k][l] = p[k];
        }
        const vr at = vr_load(x + i), x0 = vr_load(lane[SG_PIECE_X]), y0 = vr_load(lane[SG_PIECE_Y]);
        const vr w = vr_load(lane[SG_PIECE_W]), h = vr_load(lane[SG_PIECE_H]);
        const vr d0 = vr_load(lane[SG_PIECE_D0]), d1 = vr_load(lane[SG_PIECE_D1]);
        const vr s = vr_div(h, w), q = vr_sub(vr_add(d0, d1), vr_add(s, s));
        const vm below = vr_lt(at, lowest), beyond = vm_or(below, vr_le(highest, at));
        const vr end = vr_select(below, d0, d1);
        vr       u, to, straight;
        if (back) { /* (s - d0 + v q) u^2 + (d0 - v q) u - s v = 0; the discriminant is a sum of what is not negative */
            const vr v    = vr_min(one, vr_max(zero, vr_div(vr_sub(at, y0), h)));
            const vr half = vr_mul(vr_set1(R(0.5)), vr_fnma(v, q, d0)), a = vr_fma(v, q, vr_sub(s, d0));
            const vr less = vr_mul(s, v), e = vr_sub(half, less);
            const vr root = vr_sqrt(vr_fma(e, e, vr_mul(vr_mul(s, s), vr_mul(v, vr_sub(one, v)))));
            const vm plus = vr_le(zero, half);
            u  = vr_div(vr_select(plus, less, vr_sub(root, half)), vr_select(plus, vr_add(half, root), a));
            u  = vr_min(one, vr_max(zero, u));
            to = vr_fma(u, w, x0);
            straight = vr_add(x0, vr_div(vr_sub(at, y0), end));
        } else {
            u              = vr_min(one, vr_max(zero, vr_div(vr_sub(at, x0), w)));
            const vr t     = vr_mul(u, vr_sub(one, u));
            const vr ratio = vr_div(vr_fma(s, vr_mul(u, u), vr_mul(d0, t)), vr_fma(q, t, s));
            to             = vr_fma(h, ratio, y0);
            straight       = vr_fma(vr_sub(at, x0), end, y0);
        }
        vr_store(y + i, vr_select(vr_isnan(at), at, vr_select(beyond, straight, to)));
        if (slope) {
            const vr rest = vr_sub(one, u), t = vr_mul(u, rest), r = vr_div(s, vr_fma(q, t, s));
            const vr curve = vr_fma(d1, vr_mul(u, u), vr_fma(vr_add(s, s), t, vr_mul(d0, vr_mul(rest, rest))));
            const vr d     = vr_select(beyond, end, vr_mul(vr_mul(r, r), curve));
            const vr by    = vr_load(slope + i);
            vr_store(slope + i, back ? vr_div(by, d) : vr_mul(by, d));
        }
    }
}

/* A table of floats (single != 0) or doubles; single is a constant wherever these functions are inlined. */
typedef struct {
    char     *data;
    ptrdiff_t row, col; /* strides in elements */
} table;

SG_INLINE void load_strip(real *x, size_t n, table t, size_t row, size_t col, ptrdiff_t stride,
                          const int single)
{
    ptrdiff_t first = (ptrdiff_t)row * t.row + (ptrdiff_t)col * t.col;
    if (single)
        for (size_t i = 0; i < n; i++)
            x[i] = (real)((const float *)t.data)[first + (ptrdiff_t)i * stride];
    else
        for (size_t i = 0; i < n; i++)
            x[i] = (real)((const double *)t.data)[first + (ptrdiff_t)i * stride];
    for (size_t i = n; i % VL; i++) /* for loops over whole vectors */
        x[i] = 0;
}

SG_INLINE void store_strip(const real *x, size_t n, table t, size_t row, size_t col, ptrdiff_t stride,
                           const int single)
{
    ptrdiff_t first = (ptrdiff_t)row * t.row + (ptrdiff_t)col * t.col;
    if (single)
        for (size_t i = 0; i < n; i++)
            ((float *)t.data)[first + (ptrdiff_t)i * stride] = (float)x[i];
    else
        for (size_t i = 0; i < n; i++)
            ((double *)t.data)[first + (ptrdiff_t)i * stride] = (double)x[i];
}

/* Rows row ... row+n-1 of output column j. */
SG_INLINE void run_down(const sg_program *program, const sg_program_run *run, size_t j, size_t row, size_t n,
                        table in, table out, const int in_single, const int out_single)
{
    const sg_program_column *column = program->column + j;
    const real              *value  = VALUES(program) + run->parameter + (j - run->first);
    size_t                   source = (size_t)column->first;
    real                     x[STRIP], other[STRIP];
    load_strip(x, n, in, row, source, in.row, in_single);
    if (column->gather == SG_GATHER_ANGLE) {
        load_strip(other, n, in, row, source + 1, in.row, in_single);
        for (size_t i = 0; i < n; i += VL)
            vr_store(x + i, angle(vr_load(x + i), vr_load(other + i)));
    } else if (column->gather == SG_GATHER_ARGMAX) {
        real best[STRIP];
        memcpy(best, x, n * sizeof(real));
        memset(x, 0, sizeof x);
        for (int k = 1; k < column->n; k++) {
            load_strip(other, n, in, row, source + (size_t)k, in.row, in_single);
            for (size_t i = 0; i < n; i++)
                if (other[i] > best[i]) {
                    best[i] = other[i];
                    x[i]    = (real)k;
                }
        }
    }
    for (int s = 0; s < column->n_step; s++) {
        const sg_step *step = program->step + column->step + s;
        if (step->op == SG_STEP_UNMASK)
            load_strip(other, n, in, row, (size_t)step->b, in.row, in_single);
        if (sg_step_is_curve(step))
            apply_curve(program, step, n, x, x, NULL);
        else
            apply_same(step->op, n, x, x, value, value + run->n, other);
        value += 2 * run->n;
    }
    store_strip(x, n, out, row, j, out.row, out_single);
}

/* All columns of a run for one row; neighbours in memory. Elements of the arithmetic's own type are read
 * and written in place. */
SG_INLINE void run_across(const sg_program *program, const sg_program_run *run, size_t row, table in,
                          table out, const int in_single, const int out_single)
{
    const sg_program_column *column = program->column + run->first;
    const int                own_in = in_single == SG_REAL_IS_FLOAT, own_out = out_single == SG_REAL_IS_FLOAT;
    real                     strip[STRIP];
    for (size_t j = 0; j < run->n; j += STRIP) {
        size_t      n     = run->n - j < STRIP ? run->n - j : STRIP;
        const real *value = VALUES(program) + run->parameter + j;
        const real *x     = strip;
        if (own_in)
            x = (const real *)in.data + (ptrdiff_t)row * in.row + (ptrdiff_t)(run->first_source + j);
        else
            load_strip(strip, n, in, row, run->first_source + j, 1, in_single);
        for (int s = 0; s < column->n_step; s++) {
            real *to = strip;
            if (own_out && s == column->n_step - 1)
                to = (real *)out.data + (ptrdiff_t)row * out.row + (ptrdiff_t)(run->first + j);
            apply_each(program->step[column->step + s].op, n, x, to, value, value + run->n);
            x = to;
            value += 2 * run->n;
        }
        if (!own_out || column->n_step == 0)
            store_strip(x, n, out, row, run->first + j, 1, out_single);
    }
}

SG_INLINE void run_program(const sg_program *program, size_t n_rows, table in, table out, const int in_single,
                           const int out_single)
{
    int neighbours = in.col == 1 && out.col == 1;
    for (size_t r = 0; r < program->n_run; r++) {
        const sg_program_run *run = program->run + r;
        /* Down the rows a column is gathered and scattered element by element, which pays when few columns
         * share a program. */
        if (run->across && neighbours && (run->n >= 8 || n_rows < 8)) {
            for (size_t row = 0; row < n_rows; row++)
                run_across(program, run, row, in, out, in_single, out_single);
            continue;
        }
        for (size_t j = run->first; j < run->first + run->n; j++)
            for (size_t row = 0; row < n_rows; row += STRIP)
                run_down(program, run, j, row, n_rows - row < STRIP ? n_rows - row : STRIP, in, out,
                         in_single, out_single);
    }
}

/* Derivatives of rows row ... row+n-1 of output column j with respect to its source, and for an angle to the one after it. */
SG_INLINE void slopes(const sg_program *program, const sg_program_run *run, size_t j, size_t row, size_t n, table in,
                      const int in_single, real *slope, real *second)
{
    const sg_program_column *column = program->column + j;
    const real              *value  = VALUES(program) + run->parameter + (j - run->first);
    const size_t             source = (size_t)column->first, whole = (n + VL - 1) / VL * VL;
    real                     x[STRIP], y[STRIP], other[STRIP];
    const vr                 zero = vr_zero(), one = vr_set1(R(1));
    load_strip(x, n, in, row, source, in.row, in_single);
    for (size_t i = 0; i < whole; i += VL) {
        vr first = one, next = zero;
        if (column->gather == SG_GATHER_ANGLE) {
            if (i == 0)
                load_strip(other, n, in, row, source + 1, in.row, in_single);
            vr sine = vr_load(x + i), cosine = vr_load(other + i), square = vr_fma(sine, sine, vr_mul(cosine, cosine));
            vm none = vr_eq(square, zero);
            square  = vr_select(none, one, square);
            first   = vr_div(cosine, square);
            next    = vr_neg(vr_div(sine, square));
            vr_store(x + i, angle(sine, cosine));
        } else if (column->gather == SG_GATHER_ARGMAX) {
            first = zero;
        }
        vr_store(slope + i, first);
        vr_store(second + i, next);
    }
    for (int s = 0; s < column->n_step; s++, value += 2 * run->n) {
        const sg_step *step = program->step + column->step + s;
        if (step->op == SG_STEP_UNMASK)
            load_strip(other, n, in, row, (size_t)step->b, in.row, in_single);
        if (sg_step_is_curve(step)) {
            apply_curve(program, step, whole, x, y, slope);
            if (column->gather == SG_GATHER_ANGLE)
                apply_curve(program, step, whole, x, y, second);
            memcpy(x, y, whole * sizeof(real));
            continue;
        }
        apply_same(step->op, whole, x, y, value, value + run->n, other);
        multiply_slope(step->op, whole, x, y, slope, value[0], value[run->n], other);
        if (column->gather == SG_GATHER_ANGLE)
            multiply_slope(step->op, whole, x, y, second, value[0], value[run->n], other);
        memcpy(x, y, whole * sizeof(real));
    }
}

SG_INLINE void add_strip(size_t n, const real *slope, const real *d, table t, size_t row, size_t col, const int single)
{
    real sum[STRIP];
    load_strip(sum, n, t, row, col, t.row, single);
    for (size_t i = 0; i < n; i += VL)
        vr_store(sum + i, vr_fma(vr_load(slope + i), vr_load(d + i), vr_load(sum + i)));
    store_strip(sum, n, t, row, col, t.row, single);
}

/* d_out = J d_in, or (transposed) d_in = J' d_out; d_in is of the type of in. */
SG_INLINE void differentiate(const sg_program *program, size_t n_rows, table in, table d_in, table d_out, const int transposed,
                             const int in_single, const int out_single)
{
    real slope[STRIP], second[STRIP], d[STRIP], sum[STRIP];
    if (transposed) {
        memset(sum, 0, sizeof sum);
        for (size_t k = 0; k < program->n_in; k++)
            for (size_t row = 0; row < n_rows; row += STRIP)
                store_strip(sum, n_rows - row < STRIP ? n_rows - row : STRIP, d_in, row, k, d_in.row, in_single);
    }
    for (size_t r = 0; r < program->n_run; r++) {
        const sg_program_run *run = program->run + r;
        for (size_t j = run->first; j < run->first + run->n; j++)
            for (size_t row = 0; row < n_rows; row += STRIP) {
                const size_t n = n_rows - row < STRIP ? n_rows - row : STRIP, source = (size_t)program->column[j].first;
                const int    angle_column = program->column[j].gather == SG_GATHER_ANGLE;
                slopes(program, run, j, row, n, in, in_single, slope, second);
                if (transposed) {
                    load_strip(d, n, d_out, row, j, d_out.row, out_single);
                    add_strip(n, slope, d, d_in, row, source, in_single);
                    if (angle_column)
                        add_strip(n, second, d, d_in, row, source + 1, in_single);
                    continue;
                }
                load_strip(d, n, d_in, row, source, d_in.row, in_single);
                for (size_t i = 0; i < n; i += VL)
                    vr_store(sum + i, vr_mul(vr_load(slope + i), vr_load(d + i)));
                if (angle_column) {
                    load_strip(d, n, d_in, row, source + 1, d_in.row, in_single);
                    for (size_t i = 0; i < n; i += VL)
                        vr_store(sum + i, vr_fma(vr_load(second + i), vr_load(d + i), vr_load(sum + i)));
                }
                store_strip(sum, n, d_out, row, j, d_out.row, out_single);
            }
    }
}

#define DEFINE_DERIVATIVES(name, in_single, out_single)                                                                        \
    static void jvp_##name(const sg_program *program, size_t n_rows, const sg_encode_table *in, const sg_encode_table *d_in,   \
                           const sg_encode_table *d_out)                                                                       \
    {                                                                                                                          \
        differentiate(program, n_rows, table_of(in), table_of(d_in), table_of(d_out), 0, in_single, out_single);               \
    }                                                                                                                          \
    static void vjp_##name(const sg_program *program, size_t n_rows, const sg_encode_table *in, const sg_encode_table *d_out,  \
                           const sg_encode_table *d_in)                                                                        \
    {                                                                                                                          \
        differentiate(program, n_rows, table_of(in), table_of(d_in), table_of(d_out), 1, in_single, out_single);               \
    }

static table table_of(const sg_encode_table *t) { return (table){t->data, t->row, t->col}; }

#if SG_REAL_IS_FLOAT

DEFINE_DERIVATIVES(sss, 1, 1)

static void run_sss(const sg_program *program, size_t n_rows, const float *in, ptrdiff_t in_row,
                    ptrdiff_t in_col, float *out, ptrdiff_t out_row, ptrdiff_t out_col)
{
    run_program(program, n_rows, (table){(char *)in, in_row, in_col}, (table){(char *)out, out_row, out_col},
                1, 1);
}

extern const sg_encode_kernels_f32 SG_HOT(sg_surrogate_encode);
const sg_encode_kernels_f32        SG_HOT(sg_surrogate_encode) = {run_sss, jvp_sss, vjp_sss};

#else

DEFINE_DERIVATIVES(ddd, 0, 0)
DEFINE_DERIVATIVES(dds, 0, 1)
DEFINE_DERIVATIVES(sdd, 1, 0)

static void run_ddd(const sg_program *program, size_t n_rows, const double *in, ptrdiff_t in_row,
                    ptrdiff_t in_col, double *out, ptrdiff_t out_row, ptrdiff_t out_col)
{
    run_program(program, n_rows, (table){(char *)in, in_row, in_col}, (table){(char *)out, out_row, out_col},
                0, 0);
}

static void run_dds(const sg_program *program, size_t n_rows, const double *in, ptrdiff_t in_row,
                    ptrdiff_t in_col, float *out, ptrdiff_t out_row, ptrdiff_t out_col)
{
    run_program(program, n_rows, (table){(char *)in, in_row, in_col}, (table){(char *)out, out_row, out_col},
                0, 1);
}

static void run_sdd(const sg_program *program, size_t n_rows, const float *in, ptrdiff_t in_row,
                    ptrdiff_t in_col, double *out, ptrdiff_t out_row, ptrdiff_t out_col)
{
    run_program(program, n_rows, (table){(char *)in, in_row, in_col}, (table){(char *)out, out_row, out_col},
                1, 0);
}

extern const sg_encode_kernels_f64 SG_HOT(sg_surrogate_encode);
const sg_encode_kernels_f64        SG_HOT(sg_surrogate_encode) = {
    run_ddd, run_dds, run_sdd, {jvp_ddd, jvp_dds, jvp_sdd}, {vjp_ddd, vjp_dds, vjp_sdd}};

#endif
