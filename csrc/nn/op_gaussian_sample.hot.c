/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/vmath.h"
#include "nn/lanes.h"
#include "nn/op_random.h"

enum { MEAN, LOG_VARIANCE }; /* inputs */

/* Standard normal numbers for the rows of a call, (n_rows, n). Those of single precision also in double, so
 * that networks of both see the same. */
static void draw_normal(const sg_op_random *random, size_t n_rows, size_t n, real *out)
{
    enum { BLOCK = 256 };
    float          draw[BLOCK];
    const uint64_t stream = sg_op_random_stream(random), first = sg_op_random_first(random, n);
    for (size_t i = 0; i < n_rows * n; i += BLOCK) {
        const size_t m = n_rows * n - i < BLOCK ? n_rows * n - i : BLOCK;
        sg_philox_f32_now()->normal(random->seed, stream, first + i, m, draw);
        for (size_t j = 0; j < m; j++)
            out[i + j] = (real)draw[j];
    }
}

static void forward(const sg_op_call *call)
{
    const size_t n    = call->n_rows * call->site->out_size;
    const real  *mean = call->in[MEAN], *log_variance = call->in[LOG_VARIANCE];
    real        *push = call->saved, *out = call->out; /* push: the sample less its mean */
    if (!call->training) {
        memcpy(out, mean, n * sizeof(real));
        return;
    }
    draw_normal(&call->random, call->n_rows, call->site->out_size, push);
    for (size_t i = 0; i < n; i += VL) {
        const size_t left  = sg_lanes(n - i);
        const vr     sigma = vr_exp(vr_mul(vr_set1(R(0.5)), sg_lanes_load(log_variance + i, left)));
        const vr     part  = vr_mul(sigma, sg_lanes_load(push + i, left));
        sg_lanes_store(push + i, part, left);
        sg_lanes_store(out + i, vr_add(sg_lanes_load(mean + i, left), part), left);
    }
}

static void backward(const sg_op_call *call)
{
    const size_t n = call->n_rows * call->site->out_size;
    const real  *d = call->d_out, *push = call->saved;
    real        *d_mean = call->d_in[MEAN], *d_log_variance = call->d_in[LOG_VARIANCE];
    for (size_t i = 0; d_mean && i < n; i++)
        d_mean[i] = (call->add_in[MEAN] ? d_mean[i] : 0) + d[i];
    for (size_t i = 0; d_log_variance && i < n; i++) {
        const real part   = call->training ? R(0.5) * push[i] * d[i] : 0;
        d_log_variance[i] = (call->add_in[LOG_VARIANCE] ? d_log_variance[i] : 0) + part;
    }
}

static void tangent(const sg_op_call *call)
{
    memcpy(call->t_out, call->t_in[MEAN], call->n_rows * call->site->out_size * sizeof(real));
}

const sg_op_kernel SG_HOT(sg_op_kernel_gaussian_sample) = {NULL, forward, backward, tangent};
