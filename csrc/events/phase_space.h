/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Decays of a particle at rest into n, evenly over phase space, V_n = integral of prod d^3p / 2E delta^4(P - sum p):
 *   Raubold-Lynch  a chain of two-body decays with sorted masses of its systems: F. James, CERN 68-15 (1968)
 *   RAMBO          isotropic massless momenta, transformed to the parent's, then shrunk until masses fit: Kleiss, Stirling & Ellis,
 *                  doi:10.1016/0010-4655(86)90119-0
 *   RAMBO on diet  a map of the unit cube of 3 n - 4 numbers onto phase space and its inverse: Plaetzer, arXiv:1308.2922
 *
 * Numbers of event i, each from Philox block i of its own stream (see base/philox.h), attempt k of an unweighted event:
 *   Raubold-Lynch  stream + j             direction of particle j = 1 .. n - 1 in the rest frame of particles 0 .. j
 *                  stream + 16 + 8 k + j  masses, numbers 2 j and 2 j + 1; that after the last mass decides on the event
 *   RAMBO          stream + 2^32 + 64 k + 2 j, + 1   energy and direction of particle j; + 2 n: decides on the event
 */
#ifndef SG_EVENTS_PHASE_SPACE_H
#define SG_EVENTS_PHASE_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"

enum { SG_BODIES_MAX = 16, SG_PHASE_SPACE_ATTEMPTS = 1 << 22 };
#define SG_PHASE_SPACE_STREAM 0x7068737000000000u /* "phsp" */

typedef enum sg_phase_space_method { SG_RAUBOLD_LYNCH, SG_RAMBO } sg_phase_space_method;

typedef struct sg_phase_space {
    size_t                bodies;
    sg_phase_space_method method;
    int                   weighted;
    double                total;                   /* mass of the parent [GeV] */
    double                mass[SG_BODIES_MAX];     /* [GeV] */
    /* from sg_events_phase_space_prepare */
    double free;                                   /* total - sum of the masses [GeV] */
    double before[SG_BODIES_MAX];                  /* sum of masses 0 .. j [GeV] */
    double from[SG_BODIES_MAX];                    /* sum of masses j .. n - 1 [GeV] */
    double largest[SG_BODIES_MAX];                 /* no momentum p_j of a chain is larger [GeV] */
    int    massive;
    double shrink, speed, speed_unit;              /* RAMBO: bounds of sum |p| / total, of the rest of the weight, and the
                                                      latter to the power 1 / (1 - n) */
    double unit;                                   /* volume of a weight of 1 [GeV^(2n-4)] */
    double massless;                               /* volume of n massless particles of energy `free` [GeV^(2n-4)] */
} sg_phase_space;

/* Checks bodies, total and mass, and computes the rest. Messages name "mass" (the parent's) and "masses". */
sg_status sg_events_phase_space_prepare(sg_phase_space *space, sg_error *error);

#define SG_PHASE_SPACE_TABLE(real)                                                                                       \
    {                                                                                                                    \
        /* Returns n, or the number (below n) of an event of which no attempt was accepted. */                           \
        size_t (*generate)(size_t n, size_t stride /* of a column */, const sg_phase_space *space, uint64_t seed,        \
                           uint64_t first /* number of the first event */, int stream /* write past the caches */,       \
                           real *out,      /* (4 bodies, stride) [GeV] E px py pz of each */                             \
                           real *weight);  /* (n) of at most 1, or NULL */                                               \
        void (*diet)(size_t n, size_t stride, const sg_phase_space *space,                                               \
                     const real *u, /* (3 bodies - 4, stride) 0 .. 1: masses, then cos(theta) and phi of each step */    \
                     real *out,     /* (4 bodies, stride) [GeV] */                                                       \
                     real *weight); /* (n) density of phase space in u, in units of `massless` */                        \
        void (*diet_inverse)(size_t n, size_t stride, const sg_phase_space *space,                                       \
                             const real *momenta, /* (4 bodies, stride) [GeV] that add up to the parent's */             \
                             real *u);            /* (3 bodies - 4, stride) */                                           \
    }
typedef struct sg_phase_space_f32 SG_PHASE_SPACE_TABLE(float) sg_phase_space_f32;
typedef struct sg_phase_space_f64 SG_PHASE_SPACE_TABLE(double) sg_phase_space_f64;

SG_ISA_DECLARE(sg_phase_space_f32, sg_events_phase_space_f32);
SG_ISA_DECLARE(sg_phase_space_f64, sg_events_phase_space_f64);

static inline const sg_phase_space_f32 *sg_phase_space_f32_now(void)
{
    return SG_ISA_PICK(sg_events_phase_space_f32, sg_cpu_isa());
}
static inline const sg_phase_space_f64 *sg_phase_space_f64_now(void)
{
    return SG_ISA_PICK(sg_events_phase_space_f64, sg_cpu_isa());
}

#endif
