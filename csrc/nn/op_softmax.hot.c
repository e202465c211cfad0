/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"
#include "nn/softmax_rows.h"

static size_t channels(const sg_op_call *call) { return call->site->out.dim[call->site->out.rank - 1]; }

static void forward(const sg_op_call *call)
{
    const size_t n = channels(call), n_all = call->n_rows * call->site->out_size;
    for (size_t i = 0; i < n_all; i += n)
        sg_softmax(n, (const real *)call->in[0] + i, (real *)call->out + i);
}

static void backward(const sg_op_call *call)
{
    const size_t n = channels(call), n_all = call->n_rows * call->site->out_size;
    for (size_t i = 0; call->d_in[0] && i < n_all; i += n)
        sg_softmax_slope(n, (const real *)call->out + i, (const real *)call->d_out + i, 1,
                         (real *)call->d_in[0] + i, call->add_in[0]);
}

static void tangent(const sg_op_call *call)
{
    const size_t n = channels(call), n_all = call->n_rows * call->site->out_size;
    for (size_t i = 0; i < n_all; i += n)
        sg_softmax_slope(n, (const real *)call->out + i, (const real *)call->t_in[0] + i, 1,
                         (real *)call->t_out + i, 0);
}

const sg_op_kernel SG_HOT(sg_op_kernel_softmax) = {NULL, forward, backward, tangent};
