/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums and largest elements of arrays, for hot files. The order is the same for every vector width: element i
 * goes to partial sum i % SG_N_PARTS, and the partial sums are added pairwise, part i with part i +
 * SG_N_PARTS / 2 and so on down. */
#ifndef SG_NN_SUMS_H
#define SG_NN_SUMS_H

#include "base/vmath.h"
#include "nn/lanes.h"

#define SG_N_PARTS 16

SG_INLINE real sg_parts_total(const vr *part)
{
    real lane[SG_N_PARTS];
    for (int k = 0; k < SG_N_PARTS / VL; k++)
        vr_store(lane + k * VL, part[k]);
    for (int half = SG_N_PARTS / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static inline real sg_sum(size_t n, const real *a)
{
    vr part[SG_N_PARTS / VL];
    for (int k = 0; k < SG_N_PARTS / VL; k++)
        part[k] = vr_zero();
    for (size_t first = 0; first < n; first += SG_N_PARTS)
        for (size_t k = 0, i = first; k < SG_N_PARTS / VL && i < n; k++, i += VL)
            part[k] = vr_add(part[k], sg_lanes_load(a + i, sg_lanes(n - i)));
    return sg_parts_total(part);
}

static inline real sg_dot(size_t n, const real *a, const real *b)
{
    vr part[SG_N_PARTS / VL];
    for (int k = 0; k < SG_N_PARTS / VL; k++)
        part[k] = vr_zero();
    for (size_t first = 0; first < n; first += SG_N_PARTS)
        for (size_t k = 0, i = first; k < SG_N_PARTS / VL && i < n; k++, i += VL) {
            const size_t left = sg_lanes(n - i);
            part[k]           = vr_fma(sg_lanes_load(a + i, left), sg_lanes_load(b + i, left), part[k]);
        }
    return sg_parts_total(part);
}

/* n >= 1; NaN are passed over. */
static inline real sg_largest(size_t n, const real *a)
{
    vr   top = vr_set1(-SG_INFINITY);
    real lane[VL];
    for (size_t i = 0; i < n; i += VL) {
        const size_t left = sg_lanes(n - i);
        const vr     x    = sg_lanes_load(a + i, left);
        top               = vr_max(left == VL ? x : vr_select(vm_first(left), x, top), top);
    }
    vr_store(lane, top);
    real largest = lane[0];
    for (int i = 1; i < VL; i++)
        largest = lane[i] > largest ? lane[i] : largest;
    return largest;
}

#endif
