/* SPDX-License-Identifier: BSD-3-Clause */
/* For hot files: one step of a chain of decays, by momenta alone. Energies follow from them, so that particles are on their
 * shells. */
#ifndef SG_EVENTS_DECAY_H
#define SG_EVENTS_DECAY_H

#include "base/vmath.h"

/* A vector of length p: cos(theta) = 2 u - 1, sin(theta) = 2 sqrt(u (1 - u)), phi = 2 pi (v - 1/2). */
SG_INLINE void sg_direction(vr p, vr u, vr v, vr q[3])
{
    vr sine, cosine, twice = vr_add(p, p), side = vr_mul(twice, vr_sqrt(vr_mul(u, vr_sub(vr_set1(1), u))));
    vr_sincos_turn(vr_sub(v, vr_set1(R(0.5))), &sine, &cosine);
    q[0] = vr_mul(side, cosine);
    q[1] = vr_mul(side, sine);
    q[2] = vr_fma(twice, u, vr_neg(p));
}

SG_INLINE vr sg_square(const vr q[3]) { return vr_fma(q[2], q[2], vr_fma(q[1], q[1], vr_mul(q[0], q[0]))); }

/* Energy of a particle of mass m on its shell. */
SG_INLINE vr sg_on_shell(vr m, const vr q[3]) { return vr_sqrt(vr_fma(m, m, sg_square(q))); }

/* Momentum q of a particle of energy e in the rest frame of a system, to the frame where the system has momentum P and energy E:
 * q + P (e + P.q / (E + mass)) / mass. */
SG_INLINE void sg_from_rest(const vr P[3], vr E, vr mass, vr e, vr q[3])
{
    vr along  = vr_fma(P[2], q[2], vr_fma(P[1], q[1], vr_mul(P[0], q[0])));
    vr factor = vr_div(vr_add(e, vr_div(along, vr_add(E, mass))), mass);
    for (int i = 0; i < 3; i++)
        q[i] = vr_fma(P[i], factor, q[i]);
}

/* The way back. */
SG_INLINE void sg_to_rest(const vr P[3], vr E, vr mass, vr e, vr q[3])
{
    vr along  = vr_fma(P[2], q[2], vr_fma(P[1], q[1], vr_mul(P[0], q[0])));
    vr factor = vr_div(vr_sub(e, vr_div(along, vr_add(E, mass))), mass);
    for (int i = 0; i < 3; i++)
        q[i] = vr_fnma(P[i], factor, q[i]);
}

/* What a system of mass M does not spend on the masses when it breaks up into one of mass `system` and a particle of mass m is
 * `rest` = M - system - m. Returns (rest + 2 system + 2 m)(rest + 2 m)(rest + 2 system) = 4 M^2 p^2 / rest. */
SG_INLINE vr sg_breakup(vr rest, vr system, vr m)
{
    vr two = vr_add(system, system), other = vr_add(m, m);
    return vr_mul(vr_mul(vr_add(vr_add(rest, two), other), vr_add(rest, other)), vr_add(rest, two));
}

#endif
