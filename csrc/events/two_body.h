/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Isotropic decays of one particle into two. Kinematics: PDG, Review of Particle Physics, "Kinematics", eq. 49.16-49.17.
 *
 * Numbers of event i, each from Philox block i of its own stream (see base/philox.h), so that an event depends on the seed and its
 * number alone:
 *   stream          cos(theta), phi                          + 4   p_x, p_y of the parent   + 5   p_z (uniform laws)
 *                                                            + 6   p_x, p_y                 + 7   p_z (normal laws)
 *   + 8 + 4 k       first, second mass (uniform), attempt k  + 9 + 4 k  the same (normal)
 *   + 10 + 4 k      parent mass (uniform)                    + 11 + 4 k  the same (normal)
 * Attempts go on until the masses lie within the limits of their laws and the decay is open: the joint density of the masses is the
 * product of the laws where M > m1 + m2.
 */
#ifndef SG_EVENTS_TWO_BODY_H
#define SG_EVENTS_TWO_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "events/law.h"

enum { SG_TWO_BODY_COLUMNS = 10, SG_TWO_BODY_ATTEMPTS = 1 << 16 };
#define SG_TWO_BODY_STREAM 0x74776F626F647900u /* "twobody" */

typedef struct sg_two_body {
    sg_law mass[3];      /* parent, first, second [GeV] */
    sg_law momentum[3];  /* of the parent: x, y, z [GeV] */
    int    random_mass;  /* from the front end: one of the masses is not fixed */
    int    moving;       /* likewise: the parent has a momentum */
} sg_two_body;

/* Checks the laws and narrows the limits of the masses to where the decay can be open. The names are "mass", "m1", "m2" and
 * "momentum". `mass_given`: parent masses come with the events; mass[0] then holds their least and largest as limits. */
sg_status sg_events_two_body_prepare(sg_two_body *decay, int mass_given, sg_error *error);

#define SG_TWO_BODY_TABLE(real)                                                                                          \
    {                                                                                                                    \
        /* Returns n, or the number (below n) of an event for which no open decay was found. */                          \
        size_t (*decay)(size_t n, size_t stride /* of a column */, const sg_two_body *decay, uint64_t seed,              \
                        uint64_t first /* number of the first event */, int stream /* write past the caches */,          \
                        const real *mass, /* (n) [GeV] of the parents, or NULL: from the law */                          \
                        real *out);       /* (10, stride) [GeV] E1 E2 px1 py1 pz1 px2 py2 pz2 m1 m2 */                   \
    }
typedef struct sg_two_body_f32 SG_TWO_BODY_TABLE(float) sg_two_body_f32;
typedef struct sg_two_body_f64 SG_TWO_BODY_TABLE(double) sg_two_body_f64;

SG_ISA_DECLARE(sg_two_body_f32, sg_events_two_body_f32);
SG_ISA_DECLARE(sg_two_body_f64, sg_events_two_body_f64);

static inline const sg_two_body_f32 *sg_two_body_f32_now(void) { return SG_ISA_PICK(sg_events_two_body_f32, sg_cpu_isa()); }
static inline const sg_two_body_f64 *sg_two_body_f64_now(void) { return SG_ISA_PICK(sg_events_two_body_f64, sg_cpu_isa()); }

#endif
