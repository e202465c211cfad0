/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/simd.h"
#include "nn/op_linear.h"

static void forward(const sg_op_call *call)
{
    size_t n   = call->n_rows * call->site->out_size;
    real  *out = call->out;
    for (size_t i = 0; i < n; i++)
        out[i] = ((const real *)call->in[0])[i] + ((const real *)call->in[1])[i];
    for (int k = 2; k < call->site->n_inputs; k++)
        for (size_t i = 0; i < n; i++)
            out[i] += ((const real *)call->in[k])[i];
}

static void backward(const sg_op_call *call)
{
    size_t      n = call->n_rows * call->site->out_size;
    const real *d = call->d_out;
    for (int k = 0; k < call->site->n_inputs; k++) {
        real *d_in = call->d_in[k];
        for (size_t i = 0; d_in && i < n; i++)
            d_in[i] = call->add_in[k] ? d_in[i] + d[i] : d[i];
    }
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_add) = {NULL, forward, backward, tangent};
