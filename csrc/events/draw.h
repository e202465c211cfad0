/* SPDX-License-Identifier: BSD-3-Clause */
/* For hot files: draws from the laws of law.h. */
#ifndef SG_EVENTS_DRAW_H
#define SG_EVENTS_DRAW_H

#include "base/philox_lanes.h"
#include "base/vmath.h"
#include "events/law.h"

/* A value of the law from a uniform u (or, Gaussian, a normal z). Gaussian values may lie outside the limits. */
SG_INLINE vr sg_law_value(const sg_law *law, vr u, vr z)
{
    vr a = vr_set1(R(law->a)), b = vr_set1(R(law->b)), low = vr_set1(R(law->low)), high = vr_set1(R(law->high));
    switch (law->kind) {
    case SG_LAW_UNIFORM: return vr_min(vr_fma(b, u, a), high);
    case SG_LAW_BREIT_WIGNER: {
        vr sine, cosine;
        vr_sincos(vr_fma(vr_set1(R(law->d)), u, vr_set1(R(law->c))), &sine, &cosine);
        vr square = vr_fma(b, vr_div(sine, cosine), a);
        return vr_min(vr_max(vr_sqrt(vr_max(square, vr_zero())), low), high); /* rounding must not lead outside */
    }
    case SG_LAW_GAUSSIAN: return vr_fma(b, z, a);
    case SG_LAW_FIXED: break;
    }
    return a;
}

SG_INLINE vm sg_law_inside(const sg_law *law, vr x)
{
    return vm_and(vr_le(vr_set1(R(law->low)), x), vr_le(x, vr_set1(R(law->high))));
}

/* Two normals of two uniforms by Box & Muller (1958). */
SG_INLINE void sg_normal_pair(vr u, vr v, vr *x, vr *y)
{
    vr sine, cosine, radius = vr_sqrt(vr_mul(vr_set1(-2), vr_log(vr_sub(vr_set1(1), u))));
    vr_sincos_2pi(v, &sine, &cosine);
    *x = vr_mul(radius, cosine);
    *y = vr_mul(radius, sine);
}

SG_INLINE void sg_normal_lanes(uint64_t seed, uint64_t stream, uint64_t first, vr *x, vr *y)
{
    vr u, v;
    sg_philox_lanes(seed, stream, first, &u, &v);
    sg_normal_pair(u, v, x, y);
}

#endif
