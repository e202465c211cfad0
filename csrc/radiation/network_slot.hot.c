/* SPDX-License-Identifier: BSD-3-Clause */
#include "radiation/network_slot_kernels.h"

#include "base/simd.h"

static void scale(size_t n_g, const real *x, real factor, real *y)
{
    vr     f = vr_set1(factor);
    size_t g = 0;
    for (; g + VL <= n_g; g += VL)
        vr_store(y + g, vr_mul(f, vr_load(x + g)));
    if (g < n_g)
        vr_store_n(y + g, vr_mul(f, vr_load_n(x + g, n_g - g)), n_g - g);
}

/* Sums run in the order of g whatever the vector length; those of different bands overlap in time. */
static void normalise(const sg_kdist *kdist, const real *x, real *y)
{
    for (size_t band = 0; band < kdist->n_band; band++) {
        size_t first = kdist->band_limits_g[2 * band], end = kdist->band_limits_g[2 * band + 1];
        real   sum = 0;
        for (size_t g = first; g < end; g++)
            sum += x[g];
        scale(end - first, x + first, 1 / sum, y + first);
    }
}

static void part_albedo(size_t n_g, const real *albedo, real col_dry, real *tau, real *scattering)
{
    for (size_t g = 0; g < n_g; g++) {
        real scattered = tau[g] * albedo[g];
        tau[g]         = (tau[g] - scattered) * col_dry;
        scattering[g]  = scattered * col_dry;
    }
}

#if SG_REAL_IS_FLOAT
const sg_network_kernels_f32 SG_HOT(sg_radiation_network) = {scale, normalise, part_albedo};
#else
const sg_network_kernels_f64 SG_HOT(sg_radiation_network) = {scale, normalise, part_albedo};
#endif
