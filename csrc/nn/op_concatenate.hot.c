/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/simd.h"
#include "nn/op_linear.h"

static size_t channels(const sg_shape *shape) { return shape->dim[shape->rank - 1]; }

static void forward(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    size_t            n_out = channels(&site->out), n_rows = call->n_rows * (site->out_size / n_out), first = 0;
    for (int k = 0; k < site->n_inputs; k++) {
        size_t      n  = channels(&site->in[k]);
        const real *in = call->in[k];
        real       *out = (real *)call->out + first;
        for (size_t row = 0; row < n_rows; row++)
            memcpy(out + row * n_out, in + row * n, n * sizeof(real));
        first += n;
    }
}

static void backward(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    size_t            n_out = channels(&site->out), n_rows = call->n_rows * (site->out_size / n_out), first = 0;
    for (int k = 0; k < site->n_inputs; k++) {
        size_t      n    = channels(&site->in[k]);
        real       *d_in = call->d_in[k];
        const real *d    = (const real *)call->d_out + first;
        for (size_t row = 0; d_in && row < n_rows; row++)
            for (size_t j = 0; j < n; j++)
                d_in[row * n + j] = (call->add_in[k] ? d_in[row * n + j] : 0) + d[row * n_out + j];
        first += n;
    }
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_concatenate) = {NULL, forward, backward, tangent};
