/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of the guard that touch every value. Rows outside are rare, so this only finds out which rows
 * are. */
#include "base/simd.h"

#include "surrogate/guard.h"

static void box(size_t n_rows, size_t n_in, const real *in, ptrdiff_t in_row, ptrdiff_t in_col,
                const real *low, const real *high, uint8_t *bad)
{
    if (in_col == 1) {
        for (size_t i = 0; i < n_rows; i++) {
            const real *x  = in + (ptrdiff_t)i * in_row;
            vm          ok = vr_eq(vr_zero(), vr_zero());
            for (size_t j = 0; j < n_in; j += VL) {
                size_t n = n_in - j < VL ? n_in - j : VL; /* masked lanes are 0 in all three, hence inside */
                vr     v = vr_load_n(x + j, n);
                ok = vm_and(ok, vm_and(vr_le(vr_load_n(low + j, n), v), vr_le(v, vr_load_n(high + j, n))));
            }
            bad[i] = (uint8_t)vm_any(vm_not(ok));
        }
        return;
    }
    for (size_t i = 0; i < n_rows; i++)
        bad[i] = 0;
    for (size_t j = 0; j < n_in; j++) {
        const real *x = in + (ptrdiff_t)j * in_col;
        for (size_t i = 0; i < n_rows; i++) {
            real v = x[(ptrdiff_t)i * in_row];
            bad[i] |= (uint8_t)!((v >= low[j]) & (v <= high[j]));
        }
    }
}

static void square(size_t n_rows, size_t rank, const real *z, real *sum)
{
    for (size_t i = 0; i < n_rows; i += VL) {
        vr s = vr_zero();
        for (size_t j = 0; j < rank; j++) {
            vr v = vr_load(z + j * SG_GUARD_ROWS + i);
            s    = vr_fma(v, v, s);
        }
        vr_store(sum + i, s);
    }
}

#if SG_REAL_IS_FLOAT
extern const sg_guard_kernels_f32 SG_HOT(sg_surrogate_guard);
const sg_guard_kernels_f32        SG_HOT(sg_surrogate_guard) = {box, square};
#else
extern const sg_guard_kernels_f64 SG_HOT(sg_surrogate_guard);
const sg_guard_kernels_f64        SG_HOT(sg_surrogate_guard) = {box, square};
#endif
