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

static sg_status check_step(size_t j, const sg_step *step, size_t n_in, const char *what, sg_error *error)
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
            SG_TRY(check_step(j, step + c->step + s, n_in, what, error));
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
        if (p->op != q->op || p->op == SG_STEP_UNMASK || (exponent && p->a != q->a))
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
    sg_free(program);
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

void sg_program_reference(const sg_program *program, const double *in, double *out)
{
    for (size_t j = 0; j < program->n_out; j++) {
        const sg_program_column *column = program->column + j;
        double                   x      = gather_reference(column, in);
        for (int s = 0; s < column->n_step; s++) {
            const sg_step *step = program->step + column->step + s;
            x                   = sg_step_reference(step, x, mask_of(step, in));
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
                x = sg_step_reference(step, x, mask);
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
