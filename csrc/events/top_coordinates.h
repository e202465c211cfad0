/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Coordinates of top-pair events that are free of each other, and the features of a chain of conditional laws over them.
 *
 * An event has 26 columns: MET, phi_MET, then E, pT, eta, phi of four jets in order of pT and of one or two leptons. Taken apart:
 *   coordinates   23 numbers without bounds between them but those of their own: logarithms and ratios of pT, eta with the first
 *                 jet forward, azimuths counted from the first jet with the second on the left, transverse mass of lepton and
 *                 MET, masses of jets over pT
 *   second        1 with a second lepton, 0 without; its three coordinates are then 0
 *   symmetries    which side, which hand, and the azimuth of the first jet: no law depends on them
 *
 * Back from these, E is that of the mass shell and objects are in order, whatever the coordinates are.
 * Units GeV and rad, c = 1. Arrays are columns (rows, stride). Same bits for any block, v3 and v4.
 */
#ifndef SG_EVENTS_TOP_COORDINATES_H
#define SG_EVENTS_TOP_COORDINATES_H

#include <stddef.h>

#include "base/cpu.h"

/* In the order in which a chain makes them. */
#define SG_TOP_NAMES                                                                                                          \
    "log_pT1", "ratio2", "ratio3", "ratio4", "log_pTl", "eta1", "eta2", "eta3", "eta4", "eta_l", "phi2", "phi3", "phi4", "phi_l", \
        "ratio_l2", "eta_l2", "phi_l2", "mT", "tau", "log_m1", "log_m2", "log_m3", "log_m4"

enum {
    SG_TOP_PT, /* ln(pT / least) of the first jet; then the ratios of this logarithm from jet to jet */
    SG_TOP_LEPTON_PT = 4,
    SG_TOP_ETA       = 5,
    SG_TOP_LEPTON_ETA = 9,
    SG_TOP_PHI        = 10, /* of jets 2, 3, 4 */
    SG_TOP_LEPTON_PHI = 13,
    SG_TOP_SECOND     = 14, /* ratio, eta, phi of the second lepton */
    SG_TOP_MET        = 17, /* mT = 2 sqrt(pT_l MET) |sin(d / 2)|, tau = sqrt(2 MET) cos(d / 2) sign(d), d = phi_MET - phi_l */
    SG_TOP_MASS       = 19, /* ln(m / pT) of each jet */
    SG_TOP_COORDINATES = 23,
    SG_TOP_COLUMNS     = 26,
    SG_TOP_SYMMETRIES  = 3,
    SG_TOP_FEATURES    = 126,
    SG_TOP_STATE       = 27
};

/* Features that the law of each coordinate may depend on: the first so many. */
#define SG_TOP_FEATURES_OF_STEP 1, 2, 3, 4, 5, 7, 8, 10, 13, 17, 52, 60, 71, 87, 101, 102, 103, 118, 119, 123, 124, 125, 126

#define SG_TOP_TABLE(real)                                                                                                    \
    {                                                                                                                         \
        /* Columns to coordinates. Columns of a massless jet do not tell its mass: below 2e-3 of pT it is drawn. */           \
        void (*encode)(size_t n, size_t stride, real least_jet /* [GeV] */, real least_lepton /* [GeV] */,                    \
                       const real *columns /* (26, stride) */, const real *even /* (4, stride), uniform in [0, 1) */,         \
                       real *coordinates /* (23, stride) */, real *second /* (n) */, real *symmetries /* (3, stride) */);     \
        /* The features that become known before a step, from those before and from the coordinates below `step`. */          \
        void (*features)(size_t step, size_t n, size_t stride, real least_jet, real least_lepton,                             \
                         const real *coordinates /* (23, stride) */, const real *second /* (n) */,                            \
                         real *state /* (27, stride), between the steps of a block */, real *features /* (126, stride) */);   \
        void (*decode)(size_t n, size_t stride, real least_jet, real least_lepton, const real *coordinates, const real *second, \
                       const real *symmetries, size_t column_stride, real *columns /* (26, column_stride) */);                \
    }
typedef struct sg_top_f32 SG_TOP_TABLE(float) sg_top_f32;
typedef struct sg_top_f64 SG_TOP_TABLE(double) sg_top_f64;

SG_ISA_DECLARE(sg_top_f32, sg_events_top_f32);
SG_ISA_DECLARE(sg_top_f64, sg_events_top_f64);

static inline const sg_top_f32 *sg_top_f32_now(void) { return SG_ISA_PICK(sg_events_top_f32, sg_cpu_isa()); }
static inline const sg_top_f64 *sg_top_f64_now(void) { return SG_ISA_PICK(sg_events_top_f64, sg_cpu_isa()); }

#endif
