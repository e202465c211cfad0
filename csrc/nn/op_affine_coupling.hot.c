/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"
#include "nn/sums.h"

enum { DIRECTION, BOUND }; /* attributes, in the order of the table */

typedef struct sizes {
    size_t n, n_positions;
    int    inverse;
    vr     bound;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    const size_t      n    = site->in[0].dim[site->in[0].rank - 1];
    return (sizes){n, call->n_rows * (site->in_size[0] / n), site->attribute[DIRECTION].v[0] != 0,
                   vr_set1((real)site->attribute[BOUND].v[0])};
}

/* n channels of one position: x, t, the log-scale s and ds/dr, exp(s), or exp(-s) for the inverse */
typedef struct lanes {
    size_t n;
    vr     x, t, s, slope, scale;
} lanes;

SG_INLINE lanes lanes_at(const sizes *z, const real *x, const real *conditioner, size_t j)
{
    const size_t left = sg_lanes(z->n - j);
    lanes        l = {.n = left, .x = sg_lanes_load(x + j, left), .t = sg_lanes_load(conditioner + j, left)};
    const vr     bent = vr_tanh(vr_div(sg_lanes_load(conditioner + z->n + j, left), z->bound));
    l.s               = vr_mul(z->bound, bent);
    l.slope           = vr_fnma(bent, bent, vr_set1(1));
    l.scale           = vr_exp(z->inverse ? vr_neg(l.s) : l.s);
    return l;
}

SG_INLINE vr transform(const sizes *z, const lanes *l)
{
    return z->inverse ? vr_mul(vr_sub(l->x, l->t), l->scale) : vr_fma(l->x, l->scale, l->t);
}

static void forward(const sg_op_call *call)
{
    const sizes z = sizes_of(call);
    const real *x = call->in[0], *conditioner = call->in[1];
    real       *y = call->out, *s = call->scratch;
    for (size_t i = 0; i < z.n_positions; i++, x += z.n, conditioner += 2 * z.n, y += z.n + 1) {
        for (size_t j = 0; j < z.n; j += VL) {
            const lanes l = lanes_at(&z, x, conditioner, j);
            sg_lanes_store(y + j, transform(&z, &l), l.n);
            sg_lanes_store(s + j, l.s, l.n);
        }
        const real sum = sg_sum(z.n, s);
        y[z.n]         = z.inverse ? -sum : sum;
    }
}

SG_INLINE void put(real *to, vr value, size_t n, int add)
{
    sg_lanes_store(to, add ? vr_add(sg_lanes_load(to, n), value) : value, n);
}

static void backward(const sg_op_call *call)
{
    const sizes z = sizes_of(call);
    const real *x = call->in[0], *conditioner = call->in[1], *d = call->d_out;
    real       *d_x = call->d_in[0], *d_c = call->d_in[1];
    for (size_t i = 0; i < z.n_positions; i++, x += z.n, conditioner += 2 * z.n, d += z.n + 1) {
        for (size_t j = 0; j < z.n; j += VL) {
            const lanes l   = lanes_at(&z, x, conditioner, j);
            const vr    d_y = sg_lanes_load(d + j, l.n), d_log = vr_set1(d[z.n]);
            const vr    push = vr_mul(d_y, l.scale);
            /* forward: dy/ds = x exp(s), dlog/ds = 1; inverse: dy/ds = -y, dlog/ds = -1 */
            const vr d_s = z.inverse ? vr_neg(vr_fma(d_y, transform(&z, &l), d_log))
                                     : vr_fma(push, l.x, d_log);
            if (d_x)
                put(d_x + i * z.n + j, push, l.n, call->add_in[0]);
            if (d_c) {
                put(d_c + i * 2 * z.n + j, z.inverse ? vr_neg(push) : d_y, l.n, call->add_in[1]);
                put(d_c + i * 2 * z.n + z.n + j, vr_mul(d_s, l.slope), l.n, call->add_in[1]);
            }
        }
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes z = sizes_of(call);
    const real *x = call->in[0], *conditioner = call->in[1], *t_x = call->t_in[0], *t_c = call->t_in[1];
    real       *to = call->t_out, *sum = call->scratch;
    for (size_t i = 0; i < z.n_positions;
         i++, x += z.n, t_x += z.n, conditioner += 2 * z.n, t_c += 2 * z.n, to += z.n + 1) {
        for (size_t j = 0; j < z.n; j += VL) {
            const lanes l   = lanes_at(&z, x, conditioner, j);
            const vr    t_s = vr_mul(l.slope, sg_lanes_load(t_c + z.n + j, l.n)),
                        t_t = sg_lanes_load(t_c + j, l.n);
            const vr    t   = sg_lanes_load(t_x + j, l.n);
            const vr    out = z.inverse ? vr_fnma(transform(&z, &l), t_s, vr_mul(vr_sub(t, t_t), l.scale))
                                        : vr_fma(l.scale, vr_fma(l.x, t_s, t), t_t);
            sg_lanes_store(to + j, out, l.n);
            sg_lanes_store(sum + j, t_s, l.n);
        }
        const real along = sg_sum(z.n, sum);
        to[z.n]          = z.inverse ? -along : along;
    }
}

const sg_op_kernel SG_HOT(sg_op_kernel_affine_coupling) = {NULL, forward, backward, tangent};
