/* SPDX-License-Identifier: BSD-3-Clause
 *
 * e+ e- -> gamma, Z -> l+ l- at leading order, s channel, unpolarised beams, leptons without mass in the matrix element:
 *
 *   d sigma / d cos(theta) = pi alpha^2 / 2 s [ G1 (1 + cos^2) + 2 G3 cos ],   v = -1/2 + 2 sin^2(theta_W), a = -1/2
 *   G1 = 1 + 2 v^2 Re(chi) + (v^2 + a^2)^2 |chi|^2,   G3 = 2 a^2 Re(chi) + 4 v^2 a^2 |chi|^2
 *   chi = kappa s / (s - M^2 + i M Gamma),   i s Gamma / M for a running width
 *
 * (Particle Data Group, Review of Particle Physics, "Electroweak model"; LEP collaborations, doi:10.1016/j.physrep.2005.12.006, section 1.4).
 *
 * Radiation of the beams: sigma(s) = int dx H(x, s) sigma_Born(s (1 - x)), with photons along the beams,
 *
 *   H = beta x^(beta-1) (1 + d1 + d2) + h1 + h2,   beta = 2 alpha0 / pi (L - 1), L = ln(s / m_e^2), alpha0 = 1 / 137.036
 *   d1 = alpha0 / pi (3 L / 2 + pi^2 / 3 - 2),   h1 = -beta (1 - x / 2)
 *   d2 = (alpha0 / pi)^2 [(9/8 - 2 z2) L^2 - (45/16 - 11/2 z2 - 3 z3) L - 6/5 z2^2 - 9/2 z3 - 6 z2 ln 2 + 3/8 z2 + 57/12]
 *   h2 = beta^2 / 8 [(2 - x) (3 ln(1-x) - 4 ln x) - 4 ln(1-x) / x - 6 + x]
 *
 * (Kuraev & Fadin 1985, Sov. J. Nucl. Phys. 41, 466; Nicrosini & Trentadue, doi:10.1016/0370-2693(87)90819-7; Berends, van Neerven &
 * Burgers, doi:10.1016/0550-3213(88)90313-6). To order alpha d2 and h2 are left out.
 *
 * Random numbers of event i: Philox block i of the streams SG_DILEPTON_STREAM
 *   + 0  u1, u2    + 1  u3, choice and sign    + 2  azimuth and flavour, choice of a table    of all events
 *   + 3  radiation, two numbers                + 4  how both beams share it, two numbers
 *   + 5  energy of the collision, two numbers  + 6  its motion (normal)
 */
#ifndef SG_EVENTS_DILEPTON_H
#define SG_EVENTS_DILEPTON_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "events/inverse.h"

#define SG_DILEPTON_STREAM 0x64696C6570746F00u /* "dilepto" */

enum {
    SG_LEPTON_PAIR_COLUMNS = 16,
    SG_RADIATION_INTERVALS = 512,  /* of ln(x) */
    SG_SHARE_INTERVALS     = 64,   /* of ln(share of one beam) */
    SG_SPREAD_INTERVALS    = 128,  /* of the energy */
    /* What an event at one energy of the collision needs: table of ln(x), table of ln(share), cross-section [nb]. */
    SG_RADIATION_SHARE = SG_INVERSE_SIZE(SG_RADIATION_INTERVALS),
    SG_RADIATION_TOTAL = SG_RADIATION_SHARE + SG_INVERSE_SIZE(SG_SHARE_INTERVALS),
    SG_RADIATION_ROW   = SG_RADIATION_TOTAL + 1,
    SG_SPREAD_SIZE     = SG_INVERSE_SIZE(SG_SPREAD_INTERVALS),
    SG_RADIATION_ROWS  = 1 << 12  /* at most: SG_RADIATION_ROWS * SG_RADIATION_ROW stays below 2^24, exact in float */
};

#define SG_SPREAD_RANGE 6.0  /* standard deviations of the energy that are made on either side */

typedef struct sg_dilepton {
    double energy, spread;       /* [GeV] of the collision, and the standard deviation of it */
    double mass, width;          /* [GeV] of the Z */
    int    running;              /* whether the width runs */
    double alpha, sin2, kappa;   /* [1] alpha of the Born cross-section, sin^2(theta_W) of v, strength of the Z */
    int    order;                /* of radiation: 0 none, 1, 2 */
    double least;                /* [GeV] mass of the pair from which on radiation is made */
    double lepton[2];            /* [GeV] masses of electron and muon */
    int    flavours;             /* 1 electrons, 2 muons, 3 both */
} sg_dilepton;

/* G1 and G3 at s [GeV^2]. */
void sg_events_dilepton_born(const sg_dilepton *process, double s, double *g1, double *g3);

/* H(x, s) [1] of order 1 or 2, 0 < x < 1, s [GeV^2]. */
double sg_events_radiator(int order, double s, double x);

/* Cross-section of one flavour [nb], its integration error [nb], and the forward-backward asymmetry [1], at an energy. */
void sg_events_dilepton_total(const sg_dilepton *process, double energy /* [GeV] */, double out[3]);

/* Tables of radiation at an energy. */
void sg_events_dilepton_row(const sg_dilepton *process, double energy /* [GeV] */, double *row /* (SG_RADIATION_ROW) */);

/* Table of the energy less process->energy: a Gaussian times the cross-section. With radiation the cross-section comes from the tables
 * at energies (first + j) step. */
void sg_events_dilepton_spread(
    const sg_dilepton *process, size_t n_rows,
    const double      *rows,    /* (n_rows, SG_RADIATION_ROW), at least 4, or NULL without radiation */
    double             first, double step, /* [GeV] */
    double            *table);  /* (SG_SPREAD_SIZE) */

#define SG_DILEPTON_TABLE(real)                                                                                          \
    {                                                                                                                    \
        void (*pairs)(size_t n, size_t stride /* of a column */, const sg_dilepton *process, uint64_t seed,              \
                      uint64_t first /* number of the first event */, int stream /* write past the caches */,            \
                      const real *energy, /* (n) [GeV] of each collision, or NULL */                                     \
                      const real *spread, /* (SG_SPREAD_SIZE) table of the energy, or NULL: process->energy */           \
                      size_t n_rows, const real *rows, /* (n_rows, SG_RADIATION_ROW), or NULL without radiation; */      \
                      double row_first, double row_step, /* at energies (row_first + j) row_step, if n_rows > 1 */       \
                      real *out); /* (16, stride) [GeV] E px py pz of e-, e+, mu-, mu+ */                                \
    }
typedef struct sg_dilepton_f32 SG_DILEPTON_TABLE(float) sg_dilepton_f32;
typedef struct sg_dilepton_f64 SG_DILEPTON_TABLE(double) sg_dilepton_f64;

SG_ISA_DECLARE(sg_dilepton_f32, sg_events_dilepton_f32);
SG_ISA_DECLARE(sg_dilepton_f64, sg_events_dilepton_f64);

static inline const sg_dilepton_f32 *sg_dilepton_f32_now(void) { return SG_ISA_PICK(sg_events_dilepton_f32, sg_cpu_isa()); }
static inline const sg_dilepton_f64 *sg_dilepton_f64_now(void) { return SG_ISA_PICK(sg_events_dilepton_f64, sg_cpu_isa()); }

#endif
