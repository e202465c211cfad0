/* SPDX-License-Identifier: BSD-3-Clause */
#include "surrogate/encode.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

#define TWO_PI 6.28318530717958647693

static const char *const step_name[SG_STEP_COUNT] = {
#define X(name, number, text, doc) [number] = text,
    SG_STEP_LIST(X)
#undef X
};

const char *sg_step_name(int op) { return op >= 0 && op < SG_STEP_COUNT ? step_name[op] : "?"; }

/* ----------------------------------------------------------------------------------------------- building */

/* At least two knots within the table, finite, each above the one before in both. */
static int check_curve(const sg_step *step, size_t n_step, const sg_step *all)
{
    const double a = step->a, b = step->b;
    if (!(a >= 2 && a <= (double)n_step && a == floor(a) && b >= 0 && b + a <= (double)n_step && b == floor(b)))
        return 0;
    const sg_step *knot = all + (size_t)b;
    for (size_t k = 0; k < (size_t)a; k++) {
        if (knot[k].op != SG_STEP_KNOT || !isfinite(knot[k].a) || !isfinite(knot[k].b))
            return 0;
        if (k && !(knot[k].a > knot[k - 1].a && knot[k].b > knot[k - 1].b))
            return 0;
    }
    return 1;
}

static sg_status check_step(size_t j, const sg_step *step, size_t n_in, size_t n_step, const sg_step *all,
                            const char *what, sg_error *error)
{
    double a = step->a, b = step->b;
    int    ok;
    switch (step->op) {
    case SG_STEP_STANDARDISE:
    case SG_STEP_AFFINE:
    case SG_STEP_SIN:
    case SG_STEP_COS: ok = isfinite(a) && isfinite(b); break;
    case SG_STEP_LOG:
    case SG_STEP_EXP: ok = 1; break;
    case SG_STEP_ROOT: ok = a >= 2 && a <= 64 && a == floor(a); break;
    case SG_STEP_POWER: ok = a >= 1 && a <= 64 && a == floor(a); break;
    case SG_STEP_SIGNED_LOG:
    case SG_STEP_SIGNED_EXP: ok = isfinite(a) && a > 0; break;
    case SG_STEP_ONE_HOT: ok = isfinite(a); break;
    case SG_STEP_PRESENT: ok = 1; break;
    case SG_STEP_FILL: ok = isfinite(b); break;
    case SG_STEP_CLIP: ok = a <= b; break;
    case SG_STEP_UNMASK: ok = b >= 0 && b < (double)n_in && b == floor(b); break;
    case SG_STEP_CURVE:
    case SG_STEP_UNCURVE: ok = check_curve(step, n_step, all); break;
    case SG_STEP_KNOT: ok = 0; break;
    default:
        return sg_fail(error, SG_ERR_VALUE, what, "column %zu has a step of unknown kind %d", j,
                       (int)step->op);
    }
    if (!ok)
        return sg_fail(error, SG_ERR_VALUE, what,
                       "step %s of column %zu has parameters %g and %g, which are not allowed",
                       step_name[step->op], j, a, b);
    return SG_OK;
}

static sg_status check(size_t n_in, size_t n_out, const sg_program_column *column, size_t n_step,
                       const sg_step *step, const char *what, sg_error *error)
{
    for (size_t j = 0; j < n_out; j++) {
        const sg_program_column *c = column + j;
        if (c->gather < 0 || c->gather >= SG_GATHER_COUNT)
            return sg_fail(error, SG_ERR_VALUE, what, "column %zu has a gather of unknown kind %d", j,
                           (int)c->gather);
        int need = c->gather == SG_GATHER_COLUMN ? 1 : c->gather == SG_GATHER_ANGLE ? 2 : c->n;
        if (c->n != need || c->n < 1 || c->first < 0 || (size_t)c->first + (size_t)c->n > n_in)
            return sg_fail(error, SG_ERR_VALUE, what,
                           "column %zu reads %d source columns from %d, there are %zu", j, (int)c->n,
                           (int)c->first, n_in);
        if (c->step < 0 || c->n_step < 0 || (size_t)c->step + (size_t)c->n_step > n_step)
            return sg_fail(error, SG_ERR_VALUE, what, "column %zu has %d steps from %d, there are %zu", j,
                           (int)c->n_step, (int)c->step, n_step);
        for (int s = 0; s < c->n_step; s++)
            SG_TRY(check_step(j, step + c->step + s, n_in, n_step, step, what, error));
    }
    return SG_OK;
}

/* Whether column j continues the run of columns that ends with j - 1. */
static int continues(const sg_program *program, size_t j)
{
    const sg_program_column *a = program->column + j - 1, *b = a + 1;
    if (a->gather != SG_GATHER_COLUMN || b->gather != SG_GATHER_COLUMN || b->first != a->first + 1 ||
        a->n_step != b->n_step)
        return 0;
    for (int s = 0; s < a->n_step; s++) {
        const sg_step *p = program->step + a->step + s, *q = program->step + b->step + s;
        int            exponent = p->op == SG_STEP_ROOT || p->op == SG_STEP_POWER;
        if (p->op != q->op || p->op == SG_STEP_UNMASK || sg_step_is_curve(p) || (exponent && p->a != q->a))
            return 0;
    }
    return 1;
}

void sg_program_free(sg_program *program)
{
    if (!program)
        return;
    sg_free(program->column);
    sg_free(program->step);
    sg_free(program->run);
    sg_free(program->value_f32);
    sg_free(program->value_f64);
    sg_free(program->piece_f32);
    sg_free(program->piece_f64);
    sg_free(program);
}

/* 1 / distance of knots in x if they are at equal distances to within a hundredth of one, else 0. */
static double knots_per_unit(const sg_step *knot, size_t n)
{
    const double step = (knot[n - 1].a - knot[0].a) / (double)(n - 1);
    for (size_t k = 1; k < n; k++)
        if (!(fabs(knot[k].a - knot[0].a - (double)k * step) < 0.01 * step))
            return 0;
    return 1 / step;
}

/* The pieces of the curve of a step; the last one is the straight line beyond the last knot. */
static void fill_pieces(sg_program *p, const sg_step *curve)
{
    const size_t   first = (size_t)curve->b, n = (size_t)curve->a;
    const sg_step *knot = p->step + first;
    double         before = 0;
    for (size_t k = 0; k < n; k++) {
        double      *piece  = p->piece_f64 + (first + k) * SG_PIECE_SIZE;
        const size_t at     = k + 1 < n ? k : n - 2;
        const double secant = (knot[at + 1].b - knot[at].b) / (knot[at + 1].a - knot[at].a);
        piece[SG_PIECE_X]   = knot[k].a;
        piece[SG_PIECE_Y]   = knot[k].b;
        piece[SG_PIECE_W]   = k + 1 < n ? knot[k + 1].a - knot[k].a : 1;
        piece[SG_PIECE_H]   = k + 1 < n ? knot[k + 1].b - knot[k].b : secant;
        piece[SG_PIECE_D0]  = k ? sqrt(before) * sqrt(secant) : secant;
        piece[SG_PIECE_D1]  = secant;
        if (k)
            (piece - SG_PIECE_SIZE)[SG_PIECE_D1] = piece[SG_PIECE_D0];
        before = secant;
    }
    p->piece_f64[first * SG_PIECE_SIZE + SG_PIECE_PER_UNIT] = knots_per_unit(knot, n);
}

static sg_status fill_curves(sg_program *p, const char *what, sg_error *error)
{
    size_t n_curve = 0;
    for (size_t s = 0; s < p->n_step; s++)
        n_curve += sg_step_is_curve(p->step + s);
    if (!n_curve)
        return SG_OK;
    SG_TRY(sg_alloc_array(&p->piece_f32, p->n_step * SG_PIECE_SIZE, sizeof(float), what, error));
    SG_TRY(sg_alloc_array(&p->piece_f64, p->n_step * SG_PIECE_SIZE, sizeof(double), what, error));
    for (size_t j = 0; j < p->n_out; j++)
        for (int s = 0; s < p->column[j].n_step; s++)
            if (sg_step_is_curve(p->step + p->column[j].step + s))
                fill_pieces(p, p->step + p->column[j].step + s);
    for (size_t k = 0; k < p->n_step * SG_PIECE_SIZE; k++)
        p->piece_f32[k] = (float)p->piece_f64[k];
    return SG_OK;
}

static sg_status fill(sg_program *p, const sg_program_column *column, const sg_step *step, const char *what,
                      sg_error *error)
{
    size_t n_value = 0;
    for (size_t j = 0; j < p->n_out; j++)
        n_value += 2 * (size_t)column[j].n_step;
    SG_TRY(sg_alloc_array(&p->column, p->n_out, sizeof *column, what, error));
    SG_TRY(sg_alloc_array(&p->step, p->n_step, sizeof *step, what, error));
    SG_TRY(sg_alloc_array(&p->run, p->n_out, sizeof *p->run, what, error));
    SG_TRY(sg_alloc_array(&p->value_f32, n_value + 2, sizeof(float), what, error));
    SG_TRY(sg_alloc_array(&p->value_f64, n_value + 2, sizeof(double), what, error));
    memcpy(p->column, column, p->n_out * sizeof *column);
    memcpy(p->step, step, p->n_step * sizeof *step);
    SG_TRY(fill_curves(p, what, error));

    size_t at = 0;
    for (size_t j = 0; j < p->n_out; j++) {
        if (j == 0 || !continues(p, j))
            p->run[p->n_run++] = (sg_program_run){j, 0, (size_t)column[j].first, 0, 0};
        p->run[p->n_run - 1].n++;
    }
    for (size_t r = 0; r < p->n_run; r++) {
        sg_program_run *run = p->run + r;
        run->parameter      = at;
        run->across         = run->n > 1;
        for (int s = 0; s < column[run->first].n_step; s++)
            for (int which = 0; which < 2; which++)
                for (size_t j = run->first; j < run->first + run->n; j++, at++) {
                    const sg_step *one = step + column[j].step + s;
                    p->value_f64[at]   = which ? one->b : one->a;
                    p->value_f32[at]   = (float)p->value_f64[at];
                }
    }
    return SG_OK;
}

sg_status sg_program_create(size_t n_in, size_t n_out, const sg_program_column *column, size_t n_step,
                            const sg_step *step, const char *what, sg_program **program, sg_error *error)
{
    *program = NULL;
    SG_TRY(check(n_in, n_out, column, n_step, step, what, error));
    sg_program *p;
    SG_TRY(sg_alloc_array(&p, 1, sizeof *p, what, error));
    p->n_in          = n_in;
    p->n_out         = n_out;
    p->n_step        = n_step;
    sg_status status = fill(p, column, step, what, error);
    if (status != SG_OK) {
        sg_program_free(p);
        return status;
    }
    *program = p;
    return SG_OK;
}

int sg_program_is_identity(const sg_program *program)
{
    if (program->n_in != program->n_out)
        return 0;
    for (size_t j = 0; j < program->n_out; j++) {
        const sg_program_column *c = program->column + j;
        if (c->gather != SG_GATHER_COLUMN || (size_t)c->first != j || c->n_step)
            return 0;
    }
    return 1;
}

int sg_program_is_affine(const sg_program *program)
{
    for (size_t j = 0; j < program->n_out; j++) {
        const sg_program_column *c = program->column + j;
        if (c->gather != SG_GATHER_COLUMN)
            return 0;
        for (int s = 0; s < c->n_step; s++) {
            int op = program->step[c->step + s].op;
            if (op != SG_STEP_AFFINE && op != SG_STEP_STANDARDISE)
                return 0;
        }
    }
    return 1;
}

int sg_program_starts_affine(const sg_program *program)
{
    if (program->n_in != program->n_out)
        return 0;
    for (size_t j = 0; j < program->n_out; j++) {
        const sg_program_column *c = program->column + j;
        if (c->gather != SG_GATHER_COLUMN || (size_t)c->first != j || c->n_step == 0 ||
            program->step[c->step].op != SG_STEP_AFFINE)
            return 0;
        for (int s = 0; s < c->n_step; s++)
            if (program->step[c->step + s].op == SG_STEP_UNMASK)
                return 0; /* reads another column as the network made it */
    }
    return 1;
}

sg_status sg_program_drop_affine(const sg_program *program, double *scale, double *shift, sg_program **rest,
                                 sg_error *error)
{
    *rest = NULL;
    if (!sg_program_starts_affine(program))
        return sg_fail(error, SG_ERR_VALUE, "program", "not every column starts with an affine step");
    sg_program_column *column;
    SG_TRY(sg_alloc_array(&column, program->n_out, sizeof *column, "program", error));
    for (size_t j = 0; j < program->n_out; j++) {
        column[j]         = program->column[j];
        const sg_step *it = program->step + column[j].step;
        scale[j]          = it->a;
        shift[j]          = it->b;
        column[j].step++;
        column[j].n_step--;
    }
    sg_status status = sg_program_create(program->n_in, program->n_out, column, program->n_step,
                                         program->step, "program", rest, error);
    sg_free(column);
    return status;
}

/* ---------------------------------------------------------------------------------------------- reference */

static int is_missing(double x, double missing) { return x == missing || (isnan(x) && isnan(missing)); }

double sg_step_reference(const sg_step *step, double x, double mask)
{
    double a = step->a, b = step->b;
    switch (step->op) {
    case SG_STEP_STANDARDISE: return (x - a) * b;
    case SG_STEP_AFFINE: return fma(a, x, b);
    case SG_STEP_LOG: return log(x);
    case SG_STEP_EXP: return exp(x);
    case SG_STEP_ROOT: return pow(x, 1 / a);
    case SG_STEP_POWER: return pow(x, a);
    case SG_STEP_SIGNED_LOG: return copysign(log1p(fabs(x) / a), x);
    case SG_STEP_SIGNED_EXP: return copysign(a * expm1(fabs(x)), x);
    case SG_STEP_SIN: return sin(a * x);
    case SG_STEP_COS: return cos(a * x);
    case SG_STEP_ONE_HOT: return x == a;
    case SG_STEP_PRESENT: return !is_missing(x, a);
    case SG_STEP_FILL: return is_missing(x, a) ? b : x;
    case SG_STEP_CLIP: return x < a ? a : x > b ? b : x;
    case SG_STEP_UNMASK: return mask < 0.5 ? a : x;
    default: return NAN;
    }
}

static double gather_reference(const sg_program_column *column, const double *in)
{
    const double *x = in + column->first;
    if (column->gather == SG_GATHER_ANGLE) {
        double t = atan2(x[0], x[1]);
        return t < 0 ? t + TWO_PI : t;
    }
    if (column->gather == SG_GATHER_ARGMAX) {
        int best = 0;
        for (int k = 1; k < column->n; k++)
            if (x[k] > x[best])
                best = k;
        return best;
    }
    return x[0];
}

static double mask_of(const sg_step *step, const double *in)
{
    return step->op == SG_STEP_UNMASK ? in[(size_t)step->b] : 1;
}

/* Root of the curve's quadratic by the textbook formula, value by the paper's. */
static double curve_reference(const sg_program *program, const sg_step *step, double at)
{
    const int     back = step->op == SG_STEP_UNCURVE;
    const double *p    = program->piece_f64 + (size_t)step->b * SG_PIECE_SIZE;
    const size_t  n    = (size_t)step->a;
    size_t        k    = 0;
    if (isnan(at))
        return at;
    if (at < p[back ? SG_PIECE_Y : SG_PIECE_X])
        return back ? p[SG_PIECE_X] + (at - p[SG_PIECE_Y]) / p[SG_PIECE_D0]
                    : p[SG_PIECE_Y] + (at - p[SG_PIECE_X]) * p[SG_PIECE_D0];
    while (k + 1 < n && at >= p[(k + 1) * SG_PIECE_SIZE + (back ? SG_PIECE_Y : SG_PIECE_X)])
        k++;
    p += k * SG_PIECE_SIZE;
    const double x = p[SG_PIECE_X], y = p[SG_PIECE_Y], w = p[SG_PIECE_W], h = p[SG_PIECE_H];
    const double d0 = p[SG_PIECE_D0], d1 = p[SG_PIECE_D1], s = h / w;
    if (k == n - 1)
        return back ? x + (at - y) / d1 : y + (at - x) * d1;
    if (!back) {
        const double u = (at - x) / w;
        return y + h * (s * u * u + d0 * u * (1 - u)) / (s + (d0 + d1 - 2 * s) * u * (1 - u));
    }
    const double v = (at - y) / h, q = d0 + d1 - 2 * s;
    const double a = (s - d0) + v * q, b = d0 - v * q, c = -s * v;
    return x + w * 2 * c / (-b - sqrt(b * b - 4 * a * c));
}

static double step_value(const sg_program *program, const sg_step *step, double x, double mask)
{
    return sg_step_is_curve(step) ? curve_reference(program, step, x) : sg_step_reference(step, x, mask);
}

void sg_program_reference(const sg_program *program, const double *in, double *out)
{
    for (size_t j = 0; j < program->n_out; j++) {
        const sg_program_column *column = program->column + j;
        double                   x      = gather_reference(column, in);
        for (int s = 0; s < column->n_step; s++) {
            const sg_step *step = program->step + column->step + s;
            x                   = step_value(program, step, x, mask_of(step, in));
        }
        out[j] = x;
    }
}

/* What a step asks of its argument, NULL when x meets it. */
static const char *step_needs(const sg_step *step, double x)
{
    if (step->op == SG_STEP_LOG && !(x > 0))
        return "the logarithm needs a value above 0";
    if (step->op == SG_STEP_ROOT && !(x >= 0))
        return "the root needs a value of at least 0";
    return NULL;
}

sg_status sg_program_explain(const sg_program *program, size_t n_rows, const double *in, ptrdiff_t in_row,
                             ptrdiff_t in_col, const char *const *label, size_t first_row, sg_error *error)
{
    for (size_t row = 0; row < n_rows; row++)
        for (size_t j = 0; j < program->n_out; j++) {
            const sg_program_column *column = program->column + j;
            if (column->gather != SG_GATHER_COLUMN)
                continue;
            double source = in[(ptrdiff_t)row * in_row + column->first * in_col], x = source;
            for (int s = 0; s < column->n_step; s++) {
                const sg_step *step  = program->step + column->step + s;
                const char    *needs = step_needs(step, x);
                double         mask  = step->op == SG_STEP_UNMASK
                                           ? in[(ptrdiff_t)row * in_row + (ptrdiff_t)step->b * in_col]
                                           : 1;
                if (needs && !isnan(source) && !isinf(source))
                    return sg_fail(error, SG_ERR_DOMAIN, label[column->first], "value %g in row %zu: %s",
                                   source, first_row + row, needs);
                x = step_value(program, step, x, mask);
            }
            if (isnan(x) || isinf(x)) {
                if (isnan(source) || isinf(source))
                    return sg_fail(error, SG_ERR_NOT_FINITE, label[column->first], "row %zu is %s",
                                   first_row + row, isnan(source) ? "NaN" : "infinite");
                return sg_fail(error, SG_ERR_DOMAIN, label[column->first],
                               "value %g in row %zu: the result is not finite", source, first_row + row);
            }
        }
    return SG_OK;
}

/* -------------------------------------------------------------------------------------------------- picks */

SG_ISA_DECLARE(sg_encode_kernels_f32, sg_surrogate_encode_f32);
SG_ISA_DECLARE(sg_encode_kernels_f64, sg_surrogate_encode_f64);

const sg_encode_kernels_f32 *sg_encode_kernels_f32_pick(sg_isa isa)
{
    return SG_ISA_PICK(sg_surrogate_encode_f32, isa);
}
const sg_encode_kernels_f64 *sg_encode_kernels_f64_pick(sg_isa isa)
{
    return SG_ISA_PICK(sg_surrogate_encode_f64, isa);
}
