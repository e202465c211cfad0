/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/vmath.h"
#include "nn/lanes.h"
#include "nn/ops.h"

enum { FUNCTION, FLOOR }; /* attributes, in the order of the table */
enum { SOFTPLUS, EXP, RELU };

SG_INLINE vr value(int function, vr x)
{
    switch (function) {
    case SOFTPLUS: return vr_softplus(x);
    case EXP: return vr_exp(x);
    default: return vr_max(vr_zero(), x); /* in this order NaN stays NaN */
    }
}

SG_INLINE vr slope(int function, vr x)
{
    switch (function) {
    case SOFTPLUS: return vr_sigmoid(x);
    case EXP: return vr_exp(x);
    default: return vr_select(vr_lt(vr_zero(), x), vr_set1(1), vr_zero());
    }
}

SG_INLINE void values(int function, real floor, size_t n, const real *x, real *y)
{
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        sg_lanes_store(y + i, vr_add(vr_set1(floor), value(function, sg_lanes_load(x + i, left))), left);
    }
}

SG_INLINE void slopes(int function, size_t n, const real *x, const real *d, real *to, int add)
{
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        const vr     part = vr_mul(sg_lanes_load(d + i, left), slope(function, sg_lanes_load(x + i, left)));
        sg_lanes_store(to + i, add ? vr_add(sg_lanes_load(to + i, left), part) : part, left);
    }
}

static void times_slope(const sg_op_call *call, const real *d, real *to, int add)
{
    const size_t n = call->n_rows * call->site->out_size;
    switch ((int)call->site->attribute[FUNCTION].v[0]) {
    case SOFTPLUS: slopes(SOFTPLUS, n, call->in[0], d, to, add); break;
    case EXP: slopes(EXP, n, call->in[0], d, to, add); break;
    default: slopes(RELU, n, call->in[0], d, to, add); break;
    }
}

static void forward(const sg_op_call *call)
{
    const size_t n     = call->n_rows * call->site->out_size;
    const real   floor = (real)call->site->attribute[FLOOR].v[0];
    switch ((int)call->site->attribute[FUNCTION].v[0]) {
    case SOFTPLUS: values(SOFTPLUS, floor, n, call->in[0], call->out); break;
    case EXP: values(EXP, floor, n, call->in[0], call->out); break;
    default: values(RELU, floor, n, call->in[0], call->out); break;
    }
}

static void backward(const sg_op_call *call)
{
    if (call->d_in[0])
        times_slope(call, call->d_out, call->d_in[0], call->add_in[0]);
}

static void tangent(const sg_op_call *call) { times_slope(call, call->t_in[0], call->t_out, 0); }

const sg_op_kernel SG_HOT(sg_op_kernel_positive) = {NULL, forward, backward, tangent};
