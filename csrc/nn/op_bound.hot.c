/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/vmath.h"
#include "nn/lanes.h"
#include "nn/ops.h"

static size_t channels(const sg_op_call *call) { return call->site->parameter[0].shape.dim[0]; }

static void forward(const sg_op_call *call)
{
    const size_t n = channels(call), n_all = call->n_rows * call->site->out_size;
    const real  *low = call->parameters, *high = low + n, *x = call->in[0];
    real        *y = call->out;
    for (size_t i = 0; i < n_all; i += n)
        for (size_t j = 0; j < n; j += VL) {
            const size_t left = sg_lanes(n - j);
            const vr     a = sg_lanes_load(low + j, left), b = sg_lanes_load(high + j, left);
            const vr     inside = vr_fma(vr_sub(b, a), vr_sigmoid(sg_lanes_load(x + i + j, left)), a);
            /* The rounded sum may pass a bound by an ulp. In this order NaN stays NaN. */
            sg_lanes_store(y + i + j, vr_min(vr_max(a, b), vr_max(vr_min(a, b), inside)), left);
        }
}

/* to = d dy/dx */
static void times_slope(const sg_op_call *call, const real *d, real *to, int add)
{
    const size_t n = channels(call), n_all = call->n_rows * call->site->out_size;
    const real  *low = call->parameters, *high = low + n, *x = call->in[0];
    for (size_t i = 0; i < n_all; i += n)
        for (size_t j = 0; j < n; j += VL) {
            const size_t left  = sg_lanes(n - j);
            const vr     width = vr_sub(sg_lanes_load(high + j, left), sg_lanes_load(low + j, left));
            const vr     s     = vr_sigmoid(sg_lanes_load(x + i + j, left));
            const vr     part  = vr_mul(sg_lanes_load(d + i + j, left), vr_mul(width, vr_fnma(s, s, s)));
            sg_lanes_store(to + i + j, add ? vr_add(sg_lanes_load(to + i + j, left), part) : part, left);
        }
}

static void backward(const sg_op_call *call)
{
    if (call->d_in[0])
        times_slope(call, call->d_out, call->d_in[0], call->add_in[0]);
    if (call->d_parameters && !call->add_parameters)
        memset(call->d_parameters, 0, call->site->parameter_size * sizeof(real));
}

static void tangent(const sg_op_call *call) { times_slope(call, call->t_in[0], call->t_out, 0); }

const sg_op_kernel SG_HOT(sg_op_kernel_bound) = {NULL, forward, backward, tangent};
