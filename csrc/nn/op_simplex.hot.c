/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"
#include "nn/softmax_rows.h"

typedef struct sizes {
    size_t n, n_positions;
    real   total;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    const size_t      n    = site->out.dim[site->out.rank - 1];
    return (sizes){n, call->n_rows * (site->out_size / n), (real)site->attribute[0].v[0]};
}

static real total_at(const sg_op_call *call, const sizes *s, size_t position)
{
    return call->site->n_inputs == 2 ? s->total * ((const real *)call->in[1])[position] : s->total;
}

static void forward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t i = 0; i < s.n_positions; i++) {
        real *out = (real *)call->out + i * s.n, *share = call->saved ? (real *)call->saved + i * s.n : out;
        const vr total = vr_set1(total_at(call, &s, i));
        sg_softmax(s.n, (const real *)call->in[0] + i * s.n, share);
        for (size_t j = 0; j < s.n; j += VL) {
            const size_t left = sg_lanes(s.n - j);
            sg_lanes_store(out + j, vr_mul(total, sg_lanes_load(share + j, left)), left);
        }
    }
}

static void backward(const sg_op_call *call)
{
    const sizes s   = sizes_of(call);
    real       *d_x = call->d_in[0], *d_total = call->site->n_inputs == 2 ? call->d_in[1] : NULL;
    for (size_t i = 0; i < s.n_positions; i++) {
        const real mean = sg_softmax_slope(s.n, (const real *)call->saved + i * s.n,
                                           (const real *)call->d_out + i * s.n, total_at(call, &s, i),
                                           d_x ? d_x + i * s.n : NULL, call->add_in[0]);
        if (d_total)
            d_total[i] = (call->add_in[1] ? d_total[i] : 0) + s.total * mean;
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t i = 0; i < s.n_positions; i++) {
        const real *share = (const real *)call->saved + i * s.n;
        real       *to    = (real *)call->t_out + i * s.n;
        sg_softmax_slope(s.n, share, (const real *)call->t_in[0] + i * s.n, total_at(call, &s, i), to, 0);
        if (call->site->n_inputs != 2)
            continue;
        const vr t_total = vr_set1(s.total * ((const real *)call->t_in[1])[i]);
        for (size_t j = 0; j < s.n; j += VL) {
            const size_t left = sg_lanes(s.n - j);
            sg_lanes_store(
                to + j, vr_fma(t_total, sg_lanes_load(share + j, left), sg_lanes_load(to + j, left)), left);
        }
    }
}

const sg_op_kernel SG_HOT(sg_op_kernel_simplex) = {NULL, forward, backward, tangent};
