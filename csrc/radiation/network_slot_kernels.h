/* SPDX-License-Identifier: BSD-3-Clause */
/* What the hot file of the network slot exports: how outputs of networks become optical properties, row by row. */
#ifndef SG_RADIATION_NETWORK_SLOT_KERNELS_H
#define SG_RADIATION_NETWORK_SLOT_KERNELS_H

#include "base/cpu.h"
#include "radiation/kdist.h"

#define SG_NETWORK_KERNELS(bits, real)                                                                          \
    typedef struct sg_network_kernels_f##bits {                                                                 \
        /* y = factor x */                                                                                      \
        void (*scale)(size_t n_g, const real *x, real factor, real *y);                                         \
        /* y = x scaled to the sum 1 in each band */                                                            \
        void (*normalise)(const sg_kdist *kdist, const real *x, real *y);                                       \
        /* Extinction per molecule in tau and its share of scattering become optical depths of both. */         \
        void (*part_albedo)(size_t n_g, const real *albedo, real col_dry, real *tau, real *scattering);         \
    } sg_network_kernels_f##bits

SG_NETWORK_KERNELS(32, float);
SG_NETWORK_KERNELS(64, double);

SG_ISA_DECLARE(sg_network_kernels_f32, sg_radiation_network_f32);
SG_ISA_DECLARE(sg_network_kernels_f64, sg_radiation_network_f64);

#endif
