/* SPDX-License-Identifier: BSD-3-Clause */
/* Loops over arrays whose length is no multiple of VL: full vectors take the plain load and store, because masked stores of AVX2
 * are microcoded on AMD processors. For hot files. */
#ifndef SG_NN_LANES_H
#define SG_NN_LANES_H

#include "base/simd.h"

SG_INLINE size_t sg_lanes(size_t left) { return left < VL ? left : VL; }
SG_INLINE vr     sg_lanes_load(const real *p, size_t n) { return n == VL ? vr_load(p) : vr_load_n(p, n); }
SG_INLINE void   sg_lanes_store(real *p, vr a, size_t n)
{
    if (n == VL)
        vr_store(p, a);
    else
        vr_store_n(p, a, n);
}

#endif
