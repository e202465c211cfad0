/* SPDX-License-Identifier: BSD-3-Clause */
/* Softmax of n numbers and its derivative, for hot files. */
#ifndef SG_NN_SOFTMAX_ROWS_H
#define SG_NN_SOFTMAX_ROWS_H

#include "nn/sums.h"

/* y = exp(x) / sum exp(x), without overflow; y may be x. */
static inline void sg_softmax(size_t n, const real *x, real *y)
{
    const vr top = vr_set1(sg_largest(n, x));
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        sg_lanes_store(y + i, vr_exp(vr_sub(sg_lanes_load(x + i, left), top)), left);
    }
    const vr sum = vr_set1(sg_sum(n, y));
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        sg_lanes_store(y + i, vr_div(sg_lanes_load(y + i, left), sum), left);
    }
}

/* y = x - log sum exp(x); y may be x. work: (n) */
static inline void sg_log_softmax(size_t n, const real *x, real *y, real *work)
{
    const real top = sg_largest(n, x);
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        sg_lanes_store(work + i, vr_exp(vr_sub(sg_lanes_load(x + i, left), vr_set1(top))), left);
    }
    real lane[VL];
    vr_store(lane, vr_log(vr_set1(sg_sum(n, work))));
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        sg_lanes_store(y + i, vr_sub(vr_sub(sg_lanes_load(x + i, left), vr_set1(top)), vr_set1(lane[0])),
                       left);
    }
}

/* The Jacobian of softmax at its result y times d, times scale: scale y (d - sum(y d)). It is symmetric, so
 * this is the derivative along d as well as the gradient. Added to to if add. Returns sum(y d). */
static inline real sg_softmax_slope(size_t n, const real *y, const real *d, real scale, real *to, int add)
{
    const real mean = sg_dot(n, y, d);
    for (size_t i = 0; to && i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        const vr     part = vr_mul(vr_mul(vr_set1(scale), sg_lanes_load(y + i, left)),
                                   vr_sub(sg_lanes_load(d + i, left), vr_set1(mean)));
        sg_lanes_store(to + i, add ? vr_add(sg_lanes_load(to + i, left), part) : part, left);
    }
    return mean;
}

#endif
