/* SPDX-License-Identifier: BSD-3-Clause */
/* For hot files: draws from the tables of events/inverse.h. */
#ifndef SG_EVENTS_INVERSE_DRAW_H
#define SG_EVENTS_INVERSE_DRAW_H

#include "base/gather.h"
#include "base/vmath.h"

/* A draw by uniforms u and v of each lane. `at`: where the table of the lane begins; `power`: whether its first interval is one without
 * end, where v = 0 gives -infinity. */
SG_INLINE vr sg_inverse_draw(const real *table, vi at, int k, int power, vr u, vr v)
{
    vr place = vr_mul(u, vr_set1((real)k)), chosen = vr_floor(place);
    vi start = vi_add(at, vr_to_int(chosen));
    chosen   = vr_select(vr_lt(vr_sub(place, chosen), vr_gather(table, start)), chosen, vr_gather(table + k, start));
    start    = vi_add(at, vr_to_int(chosen));
    vr c[4];
    for (int i = 0; i < 4; i++)
        c[i] = vr_gather(table + (2 + i) * k, start);
    vr y = vr_fma(vr_fma(vr_fma(c[3], v, c[2]), v, c[1]), v, c[0]);
    if (power) {
        vm soft = vr_eq(chosen, vr_zero());
        if (vm_any(soft))
            y = vr_select(soft, vr_fma(vr_log(v), vr_gather(table + 6 * k, at), c[0]), y);
    }
    return y;
}

#endif
