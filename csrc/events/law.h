/* SPDX-License-Identifier: BSD-3-Clause */
/* Laws of a random number: masses and momenta of particles, energies of beams. */
#ifndef SG_EVENTS_LAW_H
#define SG_EVENTS_LAW_H

#include "base/error.h"

typedef enum sg_law_kind {
    SG_LAW_FIXED,         /* centre */
    SG_LAW_UNIFORM,       /* between low and high */
    SG_LAW_BREIT_WIGNER,  /* of a mass m: density in m^2 ~ 1 / ((m^2 - centre^2)^2 + centre^2 spread^2) between low and high */
    SG_LAW_GAUSSIAN       /* mean centre, standard deviation spread, cut off at low and high */
} sg_law_kind;

typedef struct sg_law {
    sg_law_kind kind;
    double      centre, spread;  /* [GeV] */
    double      low, high;       /* [GeV] limits; those of a Gaussian may be infinite */
    double      a, b, c, d;      /* from sg_law_prepare: a; a + b u; sqrt(a + b tan(c + d u)); a + b z */
} sg_law;

/* Checks the numbers of a law and computes a .. d for its limits. A mass is never negative. SG_ERR_VALUE names `name`. */
sg_status sg_events_law_prepare(sg_law *law, const char *name, int is_mass, sg_error *error);

#endif
