/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Quantities built from the columns of events: momenta and masses of systems of objects, angles between them, and the sets of
 * composite quantities by which samples of events are compared. Units GeV and rad, c = 1. Columns are (n_columns, stride) in
 * memory; a block of n events starts at the pointers handed over. Same bits for any block, v3 and v4.
 */
#ifndef SG_EVENTS_OBSERVABLES_H
#define SG_EVENTS_OBSERVABLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* How the four columns of an object read. */
typedef enum sg_coordinates {
    SG_CARTESIAN, /* E, px, py, pz */
    SG_DETECTOR   /* E, pT, eta, phi */
} sg_coordinates;

enum {
    SG_SYSTEM_COLUMNS   = 7,  /* E, px, py, pz, mass, pT, rapidity */
    SG_TWO_BODY_COLUMNS = 8,
    SG_DILEPTON_COLUMNS = 10,
    SG_TOP_PAIR_COLUMNS = 42
};

/* Names and units of the composite quantities, in the order of their rows. */
#define SG_TWO_BODY_COMPOSITES                                                                        \
    "M GeV", "E_sum GeV", "p_sum GeV", "p1 GeV", "p2 GeV", "cos_theta1 1", "shell1 1", "shell2 1"
#define SG_DILEPTON_COMPOSITES                                                                        \
    "m_ll GeV", "E_ll GeV", "pT_ll GeV", "y_ll 1", "cos_theta_star 1", "cos_opening 1", "pT_minus GeV", "pT_plus GeV", \
        "shell_minus 1", "shell_plus 1"
#define SG_TOP_PAIR_COMPOSITES                                                                        \
    "m_j1 GeV", "m_j2 GeV", "m_j3 GeV", "m_j4 GeV", "m_j1j2 GeV", "m_j1j3 GeV", "m_j1j4 GeV", "m_j2j3 GeV", "m_j2j4 GeV", \
        "m_j3j4 GeV", "m_j1j2j3 GeV", "m_j1j2j4 GeV", "m_j1j3j4 GeV", "m_j2j3j4 GeV", "m_4j GeV", "m_4j1l GeV", "m_4j2l GeV", \
        "m_l1j1 GeV", "m_l1j2 GeV", "m_l1j3 GeV", "m_l1j4 GeV", "m_l1l2 GeV", "dR_j1j2 1", "dR_j1j3 1", "dR_j1j4 1",  \
        "dR_j2j3 1", "dR_j2j4 1", "dR_j3j4 1", "dR_l1j1 1", "dR_l1j2 1", "dR_l1j3 1", "dR_l1j4 1", "dphi_l1MET rad",  \
        "dphi_j1MET rad", "mT_W GeV", "H_T GeV", "pT_4j GeV", "pT_system GeV", "y_4j1l 1", "m_W GeV", "m_top GeV", "pT_W GeV"

#define SG_OBSERVABLES_TABLE(real)                                                                                      \
    {                                                                                                                   \
        /* Sum of the four-momenta of objects, its mass (-sqrt(-m2) where m2 < 0), pT and rapidity. */                  \
        void (*system)(size_t n, size_t stride, const real *columns, sg_coordinates coordinates, size_t n_objects,      \
                       const int64_t *index /* (n_objects, 4) columns of each object */,                                \
                       real *out /* (SG_SYSTEM_COLUMNS, stride) */);                                                    \
        /* |delta phi| and Delta R of pairs of directions. */                                                           \
        void (*separation)(size_t n, const real *eta_a /* (n) */, const real *phi_a /* (n) [rad] */,                    \
                           const real *eta_b, const real *phi_b, real *dphi /* (n) [rad], 0 .. pi */,                   \
                           real *dr /* (n) [1] */);                                                                     \
        void (*two_body)(size_t n, size_t stride, const real *columns /* (10, stride) */,                               \
                         real *out /* (SG_TWO_BODY_COLUMNS, stride) */);                                                \
        void (*dilepton)(size_t n, size_t stride, const real *columns /* (16, stride) */,                               \
                         real *out /* (SG_DILEPTON_COLUMNS, stride) */);                                                \
        void (*top_pair)(size_t n, size_t stride, const real *columns /* (26, stride) */,                               \
                         real *out /* (SG_TOP_PAIR_COLUMNS, stride) */);                                                \
    }
typedef struct sg_observables_f32 SG_OBSERVABLES_TABLE(float) sg_observables_f32;
typedef struct sg_observables_f64 SG_OBSERVABLES_TABLE(double) sg_observables_f64;

SG_ISA_DECLARE(sg_observables_f32, sg_events_observables_f32);
SG_ISA_DECLARE(sg_observables_f64, sg_events_observables_f64);

static inline const sg_observables_f32 *sg_observables_f32_now(void) { return SG_ISA_PICK(sg_events_observables_f32, sg_cpu_isa()); }
static inline const sg_observables_f64 *sg_observables_f64_now(void) { return SG_ISA_PICK(sg_events_observables_f64, sg_cpu_isa()); }

#endif
