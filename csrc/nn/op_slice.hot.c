/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/simd.h"
#include "nn/op_linear.h"

static void forward(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    size_t            n_in = site->in[0].dim[site->in[0].rank - 1], n = site->out.dim[site->out.rank - 1];
    size_t            n_rows = call->n_rows * (site->out_size / n);
    const real       *in     = (const real *)call->in[0] + (size_t)site->attribute[0].v[0];
    for (size_t row = 0; row < n_rows; row++)
        memcpy((real *)call->out + row * n, in + row * n_in, n * sizeof(real));
}

static void backward(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    size_t            n_in = site->in[0].dim[site->in[0].rank - 1], n = site->out.dim[site->out.rank - 1];
    size_t            n_rows = call->n_rows * (site->out_size / n), start = (size_t)site->attribute[0].v[0];
    real             *d_in = call->d_in[0];
    if (!d_in)
        return;
    if (!call->add_in[0])
        memset(d_in, 0, n_rows * n_in * sizeof(real));
    for (size_t row = 0; row < n_rows; row++)
        for (size_t j = 0; j < n; j++)
            d_in[row * n_in + start + j] += ((const real *)call->d_out)[row * n + j];
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_slice) = {NULL, forward, backward, tangent};
