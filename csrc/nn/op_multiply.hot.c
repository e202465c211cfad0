/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"
#include "nn/sums.h"

static int is_broadcast(const sg_op_call *call) { return call->site->in_size[1] != call->site->in_size[0]; }
static size_t channels(const sg_op_call *call) { return call->site->out.dim[call->site->out.rank - 1]; }

static void put(real *to, real value, int add) { *to = add ? *to + value : value; }

static void forward(const sg_op_call *call)
{
    const size_t n_all = call->n_rows * call->site->out_size, n = channels(call);
    const real  *a = call->in[0], *b = call->in[1];
    real        *out = call->out;
    if (is_broadcast(call))
        for (size_t i = 0; i < n_all; i += n, b++)
            for (size_t j = i; j < i + n; j++)
                out[j] = a[j] * *b;
    else
        for (size_t i = 0; i < n_all; i++)
            out[i] = a[i] * b[i];
}

static void backward(const sg_op_call *call)
{
    const size_t n_all = call->n_rows * call->site->out_size, n = channels(call);
    const real  *a = call->in[0], *b = call->in[1], *d = call->d_out;
    real        *d_a = call->d_in[0], *d_b = call->d_in[1];
    if (!is_broadcast(call)) {
        for (size_t i = 0; d_a && i < n_all; i++)
            put(d_a + i, d[i] * b[i], call->add_in[0]);
        for (size_t i = 0; d_b && i < n_all; i++)
            put(d_b + i, d[i] * a[i], call->add_in[1]);
        return;
    }
    for (size_t i = 0; d_a && i < n_all; i += n)
        for (size_t j = i; j < i + n; j++)
            put(d_a + j, d[j] * b[i / n], call->add_in[0]);
    for (size_t i = 0; d_b && i < n_all; i += n)
        put(d_b + i / n, sg_dot(n, d + i, a + i), call->add_in[1]);
}

static void tangent(const sg_op_call *call)
{
    const size_t n_all = call->n_rows * call->site->out_size, n = is_broadcast(call) ? channels(call) : 1;
    const real  *a = call->in[0], *b = call->in[1], *t_a = call->t_in[0], *t_b = call->t_in[1];
    real        *out = call->t_out;
    for (size_t i = 0; i < n_all; i += n, b++, t_b++)
        for (size_t j = i; j < i + n; j++)
            out[j] = t_a[j] * *b + a[j] * *t_b;
}

const sg_op_kernel SG_HOT(sg_op_kernel_multiply) = {NULL, forward, backward, tangent};
