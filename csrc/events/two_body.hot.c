/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/two_body.h"

#include "events/columns.h"
#include "events/draw.h"

/* A law that needs no draw is left out by the branches on its kind, which are the same for all events. */
SG_INLINE int uses(const sg_law *a, const sg_law *b, int normal)
{
    int ka = a->kind, kb = b->kind;
    return normal ? ka == SG_LAW_GAUSSIAN || kb == SG_LAW_GAUSSIAN
                  : ka == SG_LAW_UNIFORM || ka == SG_LAW_BREIT_WIGNER || kb == SG_LAW_UNIFORM || kb == SG_LAW_BREIT_WIGNER;
}

/* Two values from their laws, by the draws of one uniform and one normal stream. */
SG_INLINE void pair(const sg_law *one, const sg_law *two, uint64_t seed, uint64_t uniform, uint64_t normal, uint64_t first,
                    vr *x, vr *y)
{
    vr u = vr_zero(), v = vr_zero(), a = vr_zero(), b = vr_zero();
    if (uses(one, two, 0))
        sg_philox_lanes(seed, uniform, first, &u, &v);
    if (uses(one, two, 1))
        sg_normal_lanes(seed, normal, first, &a, &b);
    *x = sg_law_value(one, u, a);
    *y = sg_law_value(two, v, b);
}

/* Attempt k at the masses of VL events; `given`: the parents' stand in m[0]. Returns where they lie within the limits of their laws
 * and the decay is open. */
SG_INLINE vm attempt(const sg_two_body *decay, uint64_t seed, uint64_t first, uint64_t k, int given, vr m[3])
{
    const sg_law *law    = decay->mass;
    uint64_t      stream = SG_TWO_BODY_STREAM + 8 + 4 * k;
    vr            rest;
    pair(&law[1], &law[2], seed, stream, stream + 1, first, &m[1], &m[2]);
    vm inside = vm_and(sg_law_inside(&law[1], m[1]), sg_law_inside(&law[2], m[2]));
    if (!given && law[0].kind != SG_LAW_FIXED) {
        pair(&law[0], &law[0], seed, stream + 2, stream + 3, first, &m[0], &rest);
        inside = vm_and(inside, sg_law_inside(&law[0], m[0]));
    }
    return vm_and(inside, vr_lt(vr_add(m[1], m[2]), m[0]));
}

/* Attempts from the second on for the lanes that are not open yet. Returns the lanes left closed when attempts run out. */
static __attribute__((noinline)) vm attempts(const sg_two_body *decay, uint64_t seed, uint64_t first, int given, vm closed,
                                             vr m[3])
{
    for (uint64_t k = 1; k < SG_TWO_BODY_ATTEMPTS && vm_any(closed); k++) {
        vr next[3] = {m[0], m[1], m[2]};
        vm now     = vm_and(attempt(decay, seed, first, k, given, next), closed);
        for (int i = 0; i < 3; i++)
            m[i] = vr_select(now, next[i], m[i]);
        closed = vm_and(closed, vm_not(now));
    }
    return closed;
}

static size_t first_lane(vm lanes)
{
    real   lane[VL];
    size_t i = 0;
    vr_store(lane, vr_select(lanes, vr_set1(1), vr_zero()));
    while (lane[i] == 0)
        i++;
    return i;
}

typedef struct {
    vr one, two, p;  /* energies and momentum in the rest frame [GeV] */
} at_rest;

/* p = sqrt((M - m1 - m2)(M + m1 + m2)(M - m1 + m2)(M + m1 - m2)) / 2 M, without cancellation near threshold; E1 and E2 from the
 * masses, so that both particles are on their shells to rounding. */
SG_INLINE at_rest breakup(vr parent, vr half /* 1 / (2 parent) */, vr one, vr two)
{
    vr sum = vr_add(one, two), difference = vr_sub(one, two);
    vr outer   = vr_mul(vr_sub(parent, sum), vr_add(parent, sum));
    vr inner   = vr_mul(vr_sub(parent, difference), vr_add(parent, difference));
    vr product = vr_mul(sum, difference); /* m1^2 - m2^2 */
    vr square  = vr_mul(parent, parent);
    return (at_rest){vr_mul(vr_add(square, product), half), vr_mul(vr_sub(square, product), half),
                     vr_mul(vr_sqrt(vr_mul(outer, inner)), half)};
}

/* One particle of energy E and momentum p in the rest frame of a parent of mass M and momentum P, energy E_P: with b = P . p,
 * E' = (E_P E + b) / M and p' = p + P (E + b / (E_P + M)) / M. */
SG_INLINE void boost(const vr P[3], vr energy, vr mass, vr *e, vr p[3])
{
    vr b      = vr_fma(P[2], p[2], vr_fma(P[1], p[1], vr_mul(P[0], p[0])));
    vr factor = vr_div(vr_add(*e, vr_div(b, vr_add(energy, mass))), mass);
    *e        = vr_div(vr_fma(energy, *e, b), mass);
    for (int i = 0; i < 3; i++)
        p[i] = vr_fma(P[i], factor, p[i]);
}

SG_INLINE size_t run(size_t n, size_t stride, const sg_two_body *decay, uint64_t seed, uint64_t first, int stream,
                     const real *mass, real *out, int random, int moving)
{
    const sg_law *law = decay->mass;
    vr            m[3], half;
    at_rest       rest = {vr_zero(), vr_zero(), vr_zero()};
    for (int i = 0; i < 3; i++)
        m[i] = vr_set1(R(law[i].a));
    half = vr_div(vr_set1(R(0.5)), m[0]);
    if (!random)
        rest = breakup(m[0], half, m[1], m[2]);
    sg_columns to = sg_columns_of(SG_TWO_BODY_COLUMNS, stride, n, stream, out);
    for (size_t i = 0, lanes; i < n; i += lanes) {
        lanes          = sg_columns_lanes(&to, i, n);
        uint64_t event = first + i;
        if (random) {
            if (mass)
                m[0] = vr_load_n(mass + i, lanes);
            vm closed = vm_and(vm_not(attempt(decay, seed, event, 0, mass != NULL, m)), vm_first(lanes));
            if (vm_any(closed) && vm_any(closed = attempts(decay, seed, event, mass != NULL, closed, m)))
                return i + first_lane(closed);
            if (mass || law[0].kind != SG_LAW_FIXED)
                half = vr_div(vr_set1(R(0.5)), m[0]);
            rest = breakup(m[0], half, m[1], m[2]);
        }
        vr u, v, sine, cosine;
        sg_philox_lanes(seed, SG_TWO_BODY_STREAM, event, &u, &v);
        vr_sincos_turn(vr_sub(v, vr_set1(R(0.5))), &sine, &cosine);
        /* cos(theta) = 2 u - 1, sin(theta) = 2 sqrt(u (1 - u)) */
        vr twice = vr_add(rest.p, rest.p);
        vr side  = vr_mul(twice, vr_sqrt(vr_mul(u, vr_sub(vr_set1(1), u))));
        vr e[2]  = {rest.one, rest.two}, p[2][3];
        p[0][0]  = vr_mul(side, cosine);
        p[0][1]  = vr_mul(side, sine);
        p[0][2]  = vr_fma(twice, u, vr_neg(rest.p));
        for (int k = 0; k < 3; k++)
            p[1][k] = vr_neg(p[0][k]);
        if (moving) {
            vr            P[3], unused;
            const sg_law *momentum = decay->momentum;
            pair(&momentum[0], &momentum[1], seed, SG_TWO_BODY_STREAM + 4, SG_TWO_BODY_STREAM + 6, event, &P[0], &P[1]);
            pair(&momentum[2], &momentum[2], seed, SG_TWO_BODY_STREAM + 5, SG_TWO_BODY_STREAM + 7, event, &P[2], &unused);
            vr energy = vr_sqrt(vr_fma(P[2], P[2], vr_fma(P[1], P[1], vr_fma(P[0], P[0], vr_mul(m[0], m[0])))));
            boost(P, energy, m[0], &e[0], p[0]);
            boost(P, energy, m[0], &e[1], p[1]);
        }
        const vr column[] = {e[0], e[1], p[0][0], p[0][1], p[0][2], p[1][0], p[1][1], p[1][2], m[1], m[2]};
        sg_columns_put(&to, i, lanes, column);
    }
    sg_columns_end(&to, n);
    return n;
}

static size_t decay(size_t n, size_t stride, const sg_two_body *law, uint64_t seed, uint64_t first, int stream,
                    const real *mass, real *out)
{
    int random = law->random_mass || mass;
    if (random)
        return law->moving ? run(n, stride, law, seed, first, stream, mass, out, 1, 1)
                           : run(n, stride, law, seed, first, stream, mass, out, 1, 0);
    return law->moving ? run(n, stride, law, seed, first, stream, mass, out, 0, 1)
                       : run(n, stride, law, seed, first, stream, mass, out, 0, 0);
}

#if SG_REAL_IS_FLOAT
const sg_two_body_f32 SG_HOT(sg_events_two_body) = {
#else
const sg_two_body_f64 SG_HOT(sg_events_two_body) = {
#endif
    .decay = decay,
};
