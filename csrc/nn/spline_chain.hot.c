/* SPDX-License-Identifier: BSD-3-Clause */
/* Splines and curves of quantiles of columns of events, a vector of events at a time. */
#include "nn/spline_chain.h"

#include "nn/lanes.h"
#include "nn/spline.h"

static void inverse(size_t n, size_t stride, size_t bins, real bound, const real *conditioner, const real *y, real *x)
{
    const sg_spline_box box = {bins, 1, bound};
    for (size_t i = 0; i < n; i += VL) {
        const size_t lanes = sg_lanes(n - i);
        const vr     at    = sg_lanes_load(y + i, lanes);
        spline       s;
        size_t       k = 0;
        do {
            vr_store(s.width + k * VL, sg_lanes_load(conditioner + k * stride + i, lanes));
            vr_store(s.height + k * VL, sg_lanes_load(conditioner + (bins + k) * stride + i, lanes));
        } while (++k < bins);
        k = 0;
        do
            vr_store(s.slope + k * VL, sg_lanes_load(conditioner + (2 * bins + k) * stride + i, lanes));
        while (++k + 1 < bins);
        spline_softmax(bins, s.width, s.width);
        spline_softmax(bins, s.height, s.height);
        const bin b = find_bin(&box, &s, at);
        sg_lanes_store(x + i, vr_select(b.inside, vr_fma(solve(&b, at), b.w, b.x0), at), lanes);
    }
}

/* A value between two knots is never beyond them, whatever rounding does. */
static void look_up(size_t n, size_t n_knots, const real *knots, real edge, const real *x, real *value)
{
    const vr last = vr_set1((real)(n_knots - 1)), before = vr_set1((real)(n_knots - 2));
    const vr scale = vr_set1((real)(n_knots - 1) / (2 * edge)), from = vr_set1(edge);
    for (size_t i = 0; i < n; i += VL) {
        const size_t lanes = sg_lanes(n - i);
        const vr     at    = vr_mul(vr_add(sg_lanes_load(x + i, lanes), from), scale);
        const vr     t     = vr_min(vr_max(at, vr_zero()), last); /* 0 for NaN */
        const vr     cell  = vr_min(vr_floor(t), before);
        real         number[VL], low[VL], high[VL];
        vr_store(number, cell);
        for (int l = 0; l < VL; l++) {
            const size_t k = (size_t)number[l];
            low[l]         = knots[k];
            high[l]        = knots[k + 1];
        }
        const vr a = vr_load(low), b = vr_load(high);
        sg_lanes_store(value + i, vr_min(b, vr_fma(vr_sub(t, cell), vr_sub(b, a), a)), lanes);
    }
}

#if SG_REAL_IS_FLOAT
const sg_spline_chain_f32 SG_HOT(sg_nn_spline_chain) = {
#else
const sg_spline_chain_f64 SG_HOT(sg_nn_spline_chain) = {
#endif
    .inverse = inverse,
    .look_up = look_up,
};
