/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>

#include "nn/lanes.h"
#include "nn/optim.h"

/* What all optimisers share: one vector of gradients, scaled and clipped. */
typedef struct common {
    real *parameters, *slot0, *slot1, *ema;
    const real *gradient;
    vr    scale, clip, ema_gain;
    int   clips;
} common;

SG_INLINE common common_of(const sg_optim_call *call)
{
    return (common){
        .parameters = call->parameters,
        .slot0      = call->slot[0],
        .slot1      = call->slot[1],
        .ema        = call->ema,
        .gradient   = call->gradient,
        .scale      = vr_set1((real)call->gradient_scale),
        .clip       = vr_set1((real)call->clip_value),
        .ema_gain   = vr_set1((real)(1 - call->ema_decay)),
        .clips      = call->clip_value > 0,
    };
}

SG_INLINE vr gradient_at(const common *c, size_t i, size_t n)
{
    vr g = vr_mul(sg_lanes_load(c->gradient + i, n), c->scale);
    return c->clips ? vr_min(c->clip, vr_max(vr_neg(c->clip), g)) : g;
}

SG_INLINE void store_parameters(const common *c, size_t i, vr p, size_t n)
{
    sg_lanes_store(c->parameters + i, p, n);
    if (c->ema) {
        const vr e = sg_lanes_load(c->ema + i, n);
        sg_lanes_store(c->ema + i, vr_fma(c->ema_gain, vr_sub(p, e), e), n);
    }
}

#define EACH_VECTOR(call, i, n)                                                   \
    for (size_t i = (call)->first, n = sg_lanes((call)->n); n;                    \
         i += VL, n = i < (call)->first + (call)->n ? sg_lanes((call)->first + (call)->n - i) : 0)

static void sgd(const sg_optim_call *call)
{
    const common c        = common_of(call);
    const double momentum = call->optim->attribute[0].v[0];
    const int    nesterov = call->optim->attribute[1].v[0] != 0;
    const vr     keep = vr_set1((real)momentum), decay = vr_set1((real)call->optim->attribute[2].v[0]);
    const vr     rate = vr_set1((real)call->rate);
    EACH_VECTOR(call, i, n)
    {
        const vr p = sg_lanes_load(c.parameters + i, n);
        vr       g = vr_fma(decay, p, gradient_at(&c, i, n));
        if (momentum != 0) {
            const vr velocity = vr_fma(keep, sg_lanes_load(c.slot0 + i, n), g);
            sg_lanes_store(c.slot0 + i, velocity, n);
            g = nesterov ? vr_fma(keep, velocity, g) : velocity;
        }
        store_parameters(&c, i, vr_fnma(rate, g, p), n);
    }
}

SG_INLINE void adam_step(const sg_optim_call *call, int decoupled)
{
    const common c     = common_of(call);
    const double beta1 = call->optim->attribute[0].v[0], beta2 = call->optim->attribute[1].v[0];
    const double weight_decay = call->optim->attribute[3].v[0];
    const double bias1 = 1 - pow(beta1, call->step), bias2 = 1 - pow(beta2, call->step);
    const vr     gain1 = vr_set1((real)(1 - beta1)), gain2 = vr_set1((real)(1 - beta2));
    const vr     keep2 = vr_set1((real)beta2), epsilon = vr_set1((real)call->optim->attribute[2].v[0]);
    const vr     rate = vr_set1((real)(call->rate / bias1)), root = vr_set1((real)(1 / sqrt(bias2)));
    const vr     shrink = vr_set1((real)(1 - call->rate * weight_decay)), decay = vr_set1((real)weight_decay);
    EACH_VECTOR(call, i, n)
    {
        vr p = sg_lanes_load(c.parameters + i, n), g = gradient_at(&c, i, n);
        if (decoupled)
            p = vr_mul(p, shrink);
        else
            g = vr_fma(decay, p, g);
        const vr m0 = sg_lanes_load(c.slot0 + i, n), m = vr_fma(gain1, vr_sub(g, m0), m0);
        const vr v = vr_fma(gain2, vr_mul(g, g), vr_mul(keep2, sg_lanes_load(c.slot1 + i, n)));
        sg_lanes_store(c.slot0 + i, m, n);
        sg_lanes_store(c.slot1 + i, v, n);
        const vr size = vr_fma(vr_sqrt(v), root, epsilon);
        store_parameters(&c, i, vr_fnma(rate, vr_div(m, size), p), n);
    }
}

static void adam(const sg_optim_call *call) { adam_step(call, 0); }
static void adamw(const sg_optim_call *call) { adam_step(call, 1); }

static void reduce(size_t n_partial, size_t stride, size_t first, size_t n, const void *partial, void *sum)
{
    const real *from = partial;
    real       *to   = sum;
    for (size_t i = first; i < first + n; i += VL) {
        const size_t left = sg_lanes(first + n - i);
        vr           s    = sg_lanes_load(from + i, left);
        for (size_t k = 1; k < n_partial; k++)
            s = vr_add(s, sg_lanes_load(from + k * stride + i, left));
        sg_lanes_store(to + i, s, left);
    }
}

static double sum_of_squares(size_t n, const void *x)
{
    enum { LANES = 16 }; /* fixed, so that the order of the sum does not depend on the vector width */
    const real *v          = x;
    double      sum[LANES] = {0};
    size_t      i          = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            sum[j] += (double)v[i + (size_t)j] * (double)v[i + (size_t)j];
    for (; i < n; i++)
        sum[i % LANES] += (double)v[i] * (double)v[i];
    for (int half = LANES / 2; half; half /= 2)
        for (int j = 0; j < half; j++)
            sum[j] += sum[j + half];
    return sum[0];
}

const sg_optim_kernels SG_HOT(sg_optim_kernels) = {
    {
#define X(name) name,
        SG_OPTIM_LIST(X)
#undef X
    },
    reduce,
    sum_of_squares,
};
