/* SPDX-License-Identifier: BSD-3-Clause */
/* Lanes lie along the channels. In inference a row is x - mean times a factor made by prepare. */
#include "nn/lanes.h"
#include "nn/ops.h"

enum { MOMENTUM, EPSILON }; /* attributes, in the order of the table */

typedef struct sizes {
    size_t      n, n_positions;
    real        epsilon;
    const real *scale, *shift, *mean, *variance;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sizes             s    = {.n = site->parameter[0].shape.dim[0], .scale = call->parameters};
    s.n_positions          = call->n_rows * (site->out_size / s.n);
    s.epsilon              = (real)site->attribute[EPSILON].v[0];
    s.shift                = s.scale + s.n;
    s.mean                 = s.shift + s.n;
    s.variance             = s.mean + s.n;
    if (call->training && call->saved) { /* those of the batch */
        s.mean     = call->saved;
        s.variance = s.mean + s.n;
    }
    return s;
}

/* 1 / sqrt(variance + epsilon). A variance below zero, which only a file can bring, counts as zero. */
SG_INLINE vr inverse_deviation(const sizes *s, size_t j, size_t m)
{
    const vr variance = vr_max(vr_zero(), sg_lanes_load(s->variance + j, m));
    return vr_div(vr_set1(1), vr_sqrt(vr_add(variance, vr_set1(s->epsilon))));
}

static void prepare(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t j = 0; j < s.n; j += VL) {
        const size_t m = sg_lanes(s.n - j);
        sg_lanes_store((real *)call->packed + j,
                       vr_mul(sg_lanes_load(s.scale + j, m), inverse_deviation(&s, j, m)), m);
    }
}

/* Sums over positions of TERM, an expression of the vector `at` elements from the start: four chains at a
 * time, and a new sum every 256 positions, so that round-off grows with the number of those sums. */
enum { SUM_BLOCK = 256 };
#define SUM(result, n_positions, n, j, TERM)                                                         \
    vr result = vr_zero();                                                                           \
    for (size_t first = 0; first < (n_positions); first += SUM_BLOCK) {                              \
        const size_t end    = (n_positions) - first < SUM_BLOCK ? (n_positions) : first + SUM_BLOCK; \
        vr           sum[4] = {vr_zero(), vr_zero(), vr_zero(), vr_zero()};                          \
        size_t       i      = first;                                                                 \
        for (; i + 4 <= end; i += 4)                                                                 \
            for (size_t k = 0; k < 4; k++)                                                           \
                sum[k] = TERM(sum[k], (i + k) * (n) + (j));                                          \
        for (; i < end; i++)                                                                         \
            sum[0] = TERM(sum[0], i * (n) + (j));                                                    \
        result = vr_add(result, vr_add(vr_add(sum[0], sum[1]), vr_add(sum[2], sum[3])));             \
    }

SG_INLINE vr add_square(vr sum, vr d) { return vr_fma(d, d, sum); }

/* Mean and variance of the batch into saved. */
static void observe(const sizes *s, const real *x, real *saved)
{
    const vr count = vr_set1((real)s->n_positions);
    for (size_t j = 0; j < s->n; j += VL) {
        const size_t m = sg_lanes(s->n - j);
#define ADD(sum, at) vr_add(sum, sg_lanes_load(x + (at), m))
        SUM(sum_x, s->n_positions, s->n, j, ADD)
#undef ADD
        const vr mean = vr_div(sum_x, count);
#define ADD(sum, at) add_square(sum, vr_sub(sg_lanes_load(x + (at), m), mean))
        SUM(squares, s->n_positions, s->n, j, ADD)
#undef ADD
        sg_lanes_store(saved + j, mean, m);
        sg_lanes_store(saved + s->n + j, vr_div(squares, count), m);
    }
}

static void forward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0];
    real       *y = call->out;
    if (call->training)
        observe(&s, x, call->saved);
    for (size_t j = 0; j < s.n; j += VL) {
        const size_t m    = sg_lanes(s.n - j);
        const vr     mean = sg_lanes_load(s.mean + j, m), shift = sg_lanes_load(s.shift + j, m);
        const vr factor = call->training ? vr_mul(sg_lanes_load(s.scale + j, m), inverse_deviation(&s, j, m))
                                         : sg_lanes_load((const real *)call->packed + j, m);
        for (size_t i = 0; i < s.n_positions; i++) {
            const size_t at = i * s.n + j;
            sg_lanes_store(y + at, vr_fma(vr_sub(sg_lanes_load(x + at, m), mean), factor, shift), m);
        }
    }
}

static void backward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0], *d = call->d_out;
    real       *d_in = call->d_in[0], *d_scale = call->d_parameters;
    const real  count = (real)s.n_positions;
    for (size_t j = 0; j < s.n; j += VL) {
        const size_t m    = sg_lanes(s.n - j);
        const vr     mean = sg_lanes_load(s.mean + j, m), scale = sg_lanes_load(s.scale + j, m);
        const vr     inverse = inverse_deviation(&s, j, m), factor = vr_mul(scale, inverse);
        vr           d_of_scale = vr_zero(), d_of_shift = vr_zero();
        if (d_scale || call->training) {
#define ADD(sum, at) vr_fma(sg_lanes_load(d + (at), m), vr_sub(sg_lanes_load(x + (at), m), mean), sum)
            SUM(sum_dx, s.n_positions, s.n, j, ADD)
#undef ADD
#define ADD(sum, at) vr_add(sum, sg_lanes_load(d + (at), m))
            SUM(sum_d, s.n_positions, s.n, j, ADD)
#undef ADD
            d_of_scale = vr_mul(sum_dx, inverse);
            d_of_shift = sum_d;
        }
        /* In training mean and variance follow x. */
        const vr by_mean     = call->training ? vr_div(d_of_shift, vr_set1(count)) : vr_zero();
        const vr by_variance = call->training ? vr_mul(vr_div(d_of_scale, vr_set1(count)), inverse)
                                              : vr_zero();
        for (size_t i = 0; d_in && i < s.n_positions; i++) {
            const size_t at = i * s.n + j;
            vr           r  = sg_lanes_load(d + at, m);
            if (call->training)
                r = vr_fnma(vr_sub(sg_lanes_load(x + at, m), mean), by_variance, vr_sub(r, by_mean));
            sg_lanes_store(d_in + at,
                           vr_fma(r, factor, call->add_in[0] ? sg_lanes_load(d_in + at, m) : vr_zero()), m);
        }
        if (!d_scale)
            continue;
        /* The running statistics: what was observed in training, else their derivative. */
        vr d_of_mean     = vr_neg(vr_mul(factor, d_of_shift));
        vr d_of_variance = vr_mul(vr_mul(vr_set1(R(-0.5)), vr_mul(d_of_scale, factor)), inverse);
        if (call->training) {
            d_of_mean     = mean;
            d_of_variance = sg_lanes_load(s.variance + j, m);
            if (s.n_positions > 1)
                d_of_variance = vr_mul(d_of_variance, vr_set1(count / (count - 1)));
        }
        const vr  gradient[4] = {d_of_scale, d_of_shift, d_of_mean, d_of_variance};
        const int n_added     = !call->add_parameters ? 0 : call->training ? 2 : 4;
        for (int k = 0; k < 4; k++) {
            real *to = d_scale + (size_t)k * s.n + j;
            sg_lanes_store(to, k < n_added ? vr_add(sg_lanes_load(to, m), gradient[k]) : gradient[k], m);
        }
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t i = 0; i < s.n_positions; i++)
        for (size_t j = 0; j < s.n; j += VL) {
            const size_t m = sg_lanes(s.n - j), at = i * s.n + j;
            sg_lanes_store((real *)call->t_out + at,
                           vr_mul(sg_lanes_load((const real *)call->t_in[0] + at, m),
                                  sg_lanes_load((const real *)call->packed + j, m)),
                           m);
        }
}

const sg_op_kernel SG_HOT(sg_op_kernel_batch_norm) = {prepare, forward, backward, tangent};
