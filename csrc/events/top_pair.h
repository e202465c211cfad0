/* SPDX-License-Identifier: BSD-3-Clause
 *
 * p p -> t tbar at leading order with decays t -> b W, W -> l nu or q qbar', and the 26 columns a detector would give.
 *
 * Cross-section: q qbar -> t tbar and g g -> t tbar with tops on their mass shell (Combridge, Nucl. Phys. B151 (1979) 429; Glueck, Owens,
 * Reya, Phys. Rev. D17 (1978) 2324). With t1, t2 = (1 -+ beta cos(theta)) / 2 and rho = 4 m^2 / s,
 *   q qbar   |M|^2 / g^4 = 4/9 (t1^2 + t2^2 + rho / 2)
 *   g g      |M|^2 / g^4 = (1 / (6 t1 t2) - 3/8) (t1^2 + t2^2 + rho - rho^2 / (4 t1 t2))
 *   dsigma / dcos(theta) = |M|^2 beta / (32 pi s).
 * A point has three coordinates in [0, 1): tau = x1 x2 falls as 1 / tau^2, the rapidity is even, and so is
 * artanh(beta cos(theta)), which takes out the poles of the t and u channel.
 *
 * Decays: masses of tops and W bosons from Breit-Wigner laws within `cut` widths (those of the tops again until their sum lies below
 * sqrt(s)); sqrt(s), cos(theta) and the weight stay those of tops on the shell. t -> b W is isotropic (tops without polarisation and
 * without spin correlation); in the W rest frame the charged lepton or down-type quark has, to the direction of the W in the top rest frame,
 *   3/4 F0 (1 - c^2) + 3/8 (1 - F0) (1 - c)^2,   F0 = m_t^2 / (m_t^2 + 2 m_W^2)   (Kane, Ladinsky, Yuan, Phys. Rev. D45 (1992) 124);
 * (1 + c) / 2 is the median of three uniforms in the first case and their least in the second.
 *
 * Numbers of event i: Philox block i of stream SG_TOP_PAIR_STREAM plus
 *   0 azimuth, mode of one W   1 mode of the other W   2, 3 directions of the Ws   4 .. 7 helicity angles   8 azimuths of their decays
 *   9 masses of the Ws   10 .. 13 smearing of b b, W W products and missing momentum   64 + k masses of the tops, attempt k
 *   2^20 + 2 k, 2^20 + 2 k + 1  point and acceptance, attempt k.
 */
#ifndef SG_EVENTS_TOP_PAIR_H
#define SG_EVENTS_TOP_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"
#include "events/law.h"

enum {
    SG_TOP_PAIR_COLUMNS_OUT = 26,
    SG_TOP_PAIR_DIM         = 3,
    SG_TOP_PAIR_BLOCK       = 512,     /* most events of a call */
    SG_TOP_PAIR_ROW         = 16,      /* numbers of a knot of the table of parton distributions */
    SG_TOP_PAIR_ATTEMPTS    = 1 << 18,
    SG_TOP_PAIR_MASSES      = 1 << 16
};
#define SG_TOP_PAIR_STREAM 0x746F700000000000u /* "top" */

typedef enum sg_top_decays { SG_TOP_SEMILEPTONIC, SG_TOP_DILEPTONIC, SG_TOP_HADRONIC, SG_TOP_INCLUSIVE } sg_top_decays;
enum { SG_TOP_GG = 1, SG_TOP_QQ = 2 };

typedef struct sg_top_pair {
    double        energy;                             /* [GeV] of the collision                                   */
    double        mass, width, w_mass, w_width, b_mass; /* [GeV]                                                  */
    double        cut;                                /* [1] masses lie within cut widths                         */
    double        alpha_s;                            /* [1]                                                      */
    double        leptonic;                           /* [1] probability of W -> l nu                             */
    double        jet_stochastic, jet_constant;       /* [sqrt(GeV)], [1]: sigma / E = a / sqrt(E) (+) b          */
    double        lepton_resolution, met_resolution;  /* [1] sigma / E, [GeV] of each component                   */
    sg_top_decays decays;
    int           channels;                           /* SG_TOP_GG | SG_TOP_QQ                                    */
    int           smear;
    size_t        n_x;                                /* knots                                                    */
    const float  *pdf;                                /* (n_x, SG_TOP_PAIR_ROW) x g, (q + qbar) / sqrt 2 of five
                                                         flavours, (q - qbar) / sqrt 2, zeros; even in ln x from
                                                         ln(4 mass^2 / energy^2) to 0                             */
    /* from sg_events_top_pair_prepare */
    double inverse, log_inverse;                      /* [1] 1 / tau_min                                          */
    double per_log_x;                                 /* knots per unit of ln x                                   */
    double factor;                                    /* [pb]                                                     */
    sg_law top, w;                                    /* from sg_events_top_pair_prepare_decays: masses           */
} sg_top_pair;

/* Checks the numbers and computes the derived ones. Arguments are named as the fields. */
sg_status sg_events_top_pair_prepare(sg_top_pair *process, sg_error *error);
/* What events need beyond: known modes, laws of the masses, room for t -> b W at any of them. */
sg_status sg_events_top_pair_prepare_decays(sg_top_pair *process, sg_error *error);

/* Cross-section per volume of the three coordinates, an integrand of VEGAS; context is a const sg_top_pair *. f is (3, n) [pb]: all
 * channels, g g, q qbar. */
sg_status sg_events_top_pair_integrand(void *context, size_t n, const double *x, double *f, sg_error *error);

/* How points are drawn. */
typedef struct sg_top_sampling {
    size_t        n_bins;
    const double *grid;      /* (3, n_bins, 2) lower edge and width of each bin [1]                    */
    double        w_max;     /* [pb] an event of this weight is always accepted; 0: weighted events    */
} sg_top_sampling;

typedef struct sg_top_pair_f64 {
    void (*density)(size_t n, const sg_top_pair *process,
                    const double *x,   /* (3, n) [1] */
                    double       *f);  /* (3, n) [pb]: all, g g, q qbar */
    /* n <= SG_TOP_PAIR_BLOCK events. Returns n, or the number (below n) of one that could not be made. */
    size_t (*events)(size_t n, size_t stride, const sg_top_pair *process, const sg_top_sampling *sampling, uint64_t seed,
                     const uint64_t *number,    /* (n) of the events                                                       */
                     double         *out,       /* (26, stride), columns of MET, j1 .. j4, l1, l2 [GeV, rad], or NULL       */
                     double         *weight,    /* (n) of accepted events +-max(1, |w| / w_max) [1]; of weighted ones [pb]  */
                     uint64_t       *attempts); /* added: points that were drawn                                            */
} sg_top_pair_f64;

SG_ISA_DECLARE(sg_top_pair_f64, sg_events_top_pair_f64);
static inline const sg_top_pair_f64 *sg_top_pair_f64_now(void) { return SG_ISA_PICK(sg_events_top_pair_f64, sg_cpu_isa()); }

#endif
