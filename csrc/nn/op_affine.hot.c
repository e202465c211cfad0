/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/lanes.h"
#include "nn/ops.h"

static void forward(const sg_op_call *call)
{
    size_t      n = call->site->parameter[0].shape.dim[0], n_rows = call->n_rows * (call->site->out_size / n);
    const real *scale = call->parameters, *shift = scale + n, *in = call->in[0];
    real       *out   = call->out;
    for (size_t row = 0; row < n_rows; row++, in += n, out += n)
        for (size_t j = 0; j < n; j += VL) {
            size_t left = sg_lanes(n - j);
            sg_lanes_store(out + j, vr_fma(sg_lanes_load(in + j, left), sg_lanes_load(scale + j, left), sg_lanes_load(shift + j, left)), left);
        }
}

static void backward(const sg_op_call *call)
{
    size_t      n = call->site->parameter[0].shape.dim[0], n_rows = call->n_rows * (call->site->out_size / n);
    const real *scale = call->parameters, *in = call->in[0], *d = call->d_out;
    real       *d_scale = call->d_parameters, *d_in = call->d_in[0];
    for (size_t j = 0; j < n; j += VL) {
        size_t   left = sg_lanes(n - j);
        int      add  = d_scale && call->add_parameters;
        vr       sum_scale = add ? sg_lanes_load(d_scale + j, left) : vr_zero();
        vr       sum_shift = add ? sg_lanes_load(d_scale + n + j, left) : vr_zero();
        const vr s         = sg_lanes_load(scale + j, left);
        for (size_t row = 0; row < n_rows; row++) {
            const vr d_row = sg_lanes_load(d + row * n + j, left);
            sum_scale      = vr_fma(d_row, sg_lanes_load(in + row * n + j, left), sum_scale);
            sum_shift      = vr_add(sum_shift, d_row);
            if (d_in) {
                real *to = d_in + row * n + j;
                sg_lanes_store(to, vr_fma(d_row, s, call->add_in[0] ? sg_lanes_load(to, left) : vr_zero()), left);
            }
        }
        if (d_scale) {
            sg_lanes_store(d_scale + j, sum_scale, left);
            sg_lanes_store(d_scale + n + j, sum_shift, left);
        }
    }
}

static void tangent(const sg_op_call *call)
{
    size_t      n = call->site->parameter[0].shape.dim[0], n_rows = call->n_rows * (call->site->out_size / n);
    const real *scale = call->parameters, *t = call->t_in[0];
    real       *out   = call->t_out;
    for (size_t row = 0; row < n_rows; row++)
        for (size_t j = 0; j < n; j++)
            out[row * n + j] = t[row * n + j] * scale[j];
}

const sg_op_kernel SG_HOT(sg_op_kernel_affine) = {NULL, forward, backward, tangent};
