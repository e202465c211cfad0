/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/phase_space.h"

#include "base/philox_lanes.h"
#include "events/columns.h"
#include "events/decay.h"

#define N SG_BODIES_MAX
#define EPSILON (SG_REAL_IS_FLOAT ? R(0x1p-24) : R(0x1p-53)) /* largest relative error of a rounding */
#define CHAIN (SG_PHASE_SPACE_STREAM + 16)
#define RAMBO (SG_PHASE_SPACE_STREAM + ((uint64_t)1 << 32))

typedef struct {
    vr E, p[3];
} momentum;
_Static_assert(sizeof(momentum) == 4 * sizeof(vr), "columns of a particle");

/* ------------------------------------------------------------------------------------------------ Raubold & Lynch */

SG_INLINE void sort(size_t n, vr *r)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0; j--) {
            vr low = vr_min(r[j - 1], r[j]), high = vr_max(r[j - 1], r[j]);
            r[j - 1] = low;
            r[j]     = high;
        }
}

/* Attempt k at the masses of the systems of particles 0 .. j and the momenta p[j] at which particle j leaves them. Returns the
 * product of the momenta in units of its bound; `chance` decides on the event. */
SG_INLINE vr chain(size_t bodies, const sg_phase_space *space, uint64_t seed, uint64_t event, uint64_t k, vr *mass /* (bodies) */,
                   vr *p /* (bodies) */, vr *chance)
{
    vr r[N + 1] = {vr_zero()}, before = vr_zero(), weight = vr_set1(1), T = vr_set1(R(space->free));
    for (size_t i = 0; bodies > 2 && i < bodies - 1; i += 2)
        sg_philox_lanes(seed, CHAIN + 8 * k + i / 2, event, &r[i], &r[i + 1]);
    *chance = r[bodies - 2];
    for (size_t i = 0; i < bodies - 2; i++)
        r[i] = vr_max(r[i], vr_set1(EPSILON)); /* no system without mass */
    sort(bodies - 2, r);
    r[bodies - 2] = vr_set1(1);
    mass[0]       = vr_set1(R(space->mass[0]));
    p[0]          = vr_zero();
    for (size_t j = 1; j < bodies; j++) {
        vr rest = vr_mul(T, vr_sub(r[j - 1], before));
        mass[j] = j + 1 < bodies ? vr_fma(T, r[j - 1], vr_set1(R(space->before[j]))) : vr_set1(R(space->total));
        p[j]    = vr_div(vr_mul(vr_set1(R(0.5)), vr_sqrt(vr_mul(rest, sg_breakup(rest, mass[j - 1], vr_set1(R(space->mass[j])))))),
                         mass[j]);
        weight  = vr_mul(weight, vr_mul(p[j], vr_set1(R(1 / space->largest[j]))));
        before  = r[j - 1];
    }
    return weight;
}

/* Attempts from the second on for the lanes that are open yet. Returns the lanes left when attempts run out. */
static __attribute__((noinline)) vm chain_again(const sg_phase_space *space, uint64_t seed, uint64_t event, vm open, vr *mass,
                                                vr *p)
{
    for (uint64_t k = 1; k < SG_PHASE_SPACE_ATTEMPTS && vm_any(open); k++) {
        vr new_mass[N], new_p[N], chance;
        vr weight = chain(space->bodies, space, seed, event, k, new_mass, new_p, &chance);
        vm now    = vm_and(open, vr_lt(chance, weight));
        for (size_t j = 0; j < space->bodies; j++) {
            mass[j] = vr_select(now, new_mass[j], mass[j]);
            p[j]    = vr_select(now, new_p[j], p[j]);
        }
        open = vm_and(open, vm_not(now));
    }
    return open;
}

SG_INLINE vm raubold_lynch(size_t bodies, const sg_phase_space *space, uint64_t seed, uint64_t event, vm wanted, momentum *out,
                           vr *weight)
{
    vr mass[N], p[N], chance;
    vm open = vm_and(wanted, vm_not(wanted));
    *weight = chain(bodies, space, seed, event, 0, mass, p, &chance);
    if (!space->weighted && bodies > 2) {
        open = vm_and(wanted, vr_le(*weight, chance));
        if (vm_any(open))
            open = chain_again(space, seed, event, open, mass, p);
    }
    vr P[3] = {vr_zero(), vr_zero(), vr_zero()}, E = vr_set1(R(space->total));
    for (size_t j = bodies - 1; j > 0; j--) {
        vr  m = vr_set1(R(space->mass[j])), u, v;
        vr *q = out[j].p;
        sg_philox_lanes(seed, SG_PHASE_SPACE_STREAM + j, event, &u, &v);
        sg_direction(p[j], u, v, q);
        if (j + 1 < bodies)
            sg_from_rest(P, E, mass[j], vr_sqrt(vr_fma(m, m, vr_mul(p[j], p[j]))), q);
        out[j].E = sg_on_shell(m, q);
        for (int i = 0; i < 3; i++)
            P[i] = vr_sub(P[i], q[i]);
        E = sg_on_shell(mass[j - 1], P);
    }
    out[0] = (momentum){E, {P[0], P[1], P[2]}};
    return open;
}

/* ---------------------------------------------------------------------------------------------------------- RAMBO */

/* Massless momenta to those of a sum (total, 0): the conformal transformation of Kleiss, Stirling & Ellis, eq. 2.4-2.6. Twice,
 * because the first one loses digits where the sum moves fast. */
SG_INLINE void to_rest_of_sum(size_t bodies, vr total, momentum *q)
{
    for (int turn = 0; turn < 2; turn++) {
        vr E = vr_zero(), P[3] = {vr_zero(), vr_zero(), vr_zero()};
        for (size_t j = 0; j < bodies; j++) {
            E = vr_add(E, q[j].E);
            for (int i = 0; i < 3; i++)
                P[i] = vr_add(P[i], q[j].p[i]);
        }
        vr length = vr_sqrt(sg_square(P));
        vr mass   = vr_sqrt(vr_mul(vr_sub(E, length), vr_add(E, length)));
        vr scale  = vr_div(total, mass);
        for (size_t j = 0; j < bodies; j++) {
            sg_to_rest(P, E, mass, q[j].E, q[j].p);
            for (int i = 0; i < 3; i++)
                q[j].p[i] = vr_mul(scale, q[j].p[i]);
            q[j].E = vr_sqrt(sg_square(q[j].p));
        }
    }
}

/* xi with sum sqrt(m^2 + xi^2 E^2) = total, from above, where Newton's steps never cross it. Each lane stops by itself. */
SG_INLINE vr shrink(size_t bodies, const sg_phase_space *space, const momentum *q)
{
    vr xi = vr_set1(R(space->shrink)), total = vr_set1(R(space->total));
    vr limit = vr_set1(R(space->total) * EPSILON * (real)(8 + bodies));
    vm busy  = vr_eq(total, total);
    for (int step = 0; step < 64 && vm_any(busy); step++) {
        vr excess = vr_neg(total), slope = vr_zero();
        for (size_t j = 0; j < bodies; j++) {
            vr m = vr_set1(R(space->mass[j])), a = vr_mul(xi, q[j].E);
            vr e = vr_max(vr_sqrt(vr_fma(m, m, vr_mul(a, a))), vr_set1(SG_LEAST_NORMAL));
            excess = vr_add(excess, e);
            slope  = vr_fma(q[j].E, vr_div(a, e), slope);
        }
        busy = vm_and(busy, vr_lt(limit, vr_abs(excess)));
        xi   = vr_select(busy, vr_sub(xi, vr_div(excess, slope)), xi);
    }
    return xi;
}

/* Attempt k at an event. Returns its weight in units of the bound. */
SG_INLINE vr attempt(const sg_phase_space *space, uint64_t seed, uint64_t event, uint64_t k, momentum *out, vr *chance)
{
    size_t   bodies = space->bodies;
    uint64_t stream = RAMBO + 64 * k;
    vr       unused, one = vr_set1(1);
    *chance = vr_zero();
    if (!space->weighted && space->massive)
        sg_philox_lanes(seed, stream + 2 * bodies, event, chance, &unused);
    for (size_t j = 0; j < bodies; j++) {
        vr a, b, u, v;
        sg_philox_lanes(seed, stream + 2 * j, event, &a, &b);
        sg_philox_lanes(seed, stream + 2 * j + 1, event, &u, &v);
        out[j].E = vr_neg(vr_log(vr_mul(vr_sub(one, a), vr_sub(one, b))));
        sg_direction(out[j].E, u, v, out[j].p);
    }
    to_rest_of_sum(bodies, vr_set1(R(space->total)), out);
    if (!space->massive)
        return one;
    /* eq. 4.2-4.11; the speeds in units of the (n - 1)th root of the bound of their product */
    vr xi = shrink(bodies, space, out), unit = vr_set1(R(space->speed_unit));
    vr K = vr_zero(), mean = vr_zero(), product = one;
    for (size_t j = 0; j < bodies; j++) {
        vr m = vr_set1(R(space->mass[j])), k_j = vr_mul(xi, out[j].E);
        for (int i = 0; i < 3; i++)
            out[j].p[i] = vr_mul(xi, out[j].p[i]);
        out[j].E = sg_on_shell(m, out[j].p);
        vr speed = space->mass[j] > 0 ? vr_div(k_j, out[j].E) : one;
        speed    = vr_mul(unit, speed);
        K        = vr_add(K, k_j);
        mean     = vr_fma(k_j, speed, mean);
        product  = vr_mul(product, speed);
    }
    vr shrunk = vr_div(K, vr_set1(R(space->total * space->shrink)));
    return vr_mul(vr_powi(shrunk, 2 * (int)bodies - 4), vr_div(vr_mul(product, K), mean));
}

static __attribute__((noinline)) vm attempts(const sg_phase_space *space, uint64_t seed, uint64_t event, vm open, momentum *out)
{
    for (uint64_t k = 1; k < SG_PHASE_SPACE_ATTEMPTS && vm_any(open); k++) {
        momentum next[N];
        vr       chance, weight = attempt(space, seed, event, k, next, &chance);
        vm       now = vm_and(open, vr_lt(chance, weight));
        for (size_t j = 0; j < space->bodies; j++) {
            out[j].E = vr_select(now, next[j].E, out[j].E);
            for (int i = 0; i < 3; i++)
                out[j].p[i] = vr_select(now, next[j].p[i], out[j].p[i]);
        }
        open = vm_and(open, vm_not(now));
    }
    return open;
}

SG_INLINE vm rambo(const sg_phase_space *space, uint64_t seed, uint64_t event, vm wanted, momentum *out, vr *weight)
{
    vr chance;
    vm open = vm_and(wanted, vm_not(wanted));
    *weight = attempt(space, seed, event, 0, out, &chance);
    if (!space->weighted && space->massive && space->bodies > 2) {
        open = vm_and(wanted, vr_le(*weight, chance));
        if (vm_any(open))
            open = attempts(space, seed, event, open, out);
    }
    return open;
}

SG_INLINE size_t run(size_t bodies, size_t n, size_t stride, const sg_phase_space *space, uint64_t seed, uint64_t first, int stream,
                     int chains, real *out, real *weight)
{
    sg_columns to = sg_columns_of(4 * bodies, stride, n, stream, out);
    for (size_t i = 0, lanes; i < n; i += lanes) {
        momentum p[N];
        vr       w;
        lanes = sg_columns_lanes(&to, i, n);
        vm open = chains ? raubold_lynch(bodies, space, seed, first + i, vm_first(lanes), p, &w)
                         : rambo(space, seed, first + i, vm_first(lanes), p, &w);
        if (vm_any(open)) {
            real lane[VL];
            vr_store(lane, vr_select(open, vr_set1(1), vr_zero()));
            while (lane[0] == 0) {
                memmove(lane, lane + 1, sizeof lane - sizeof *lane);
                i++;
            }
            return i;
        }
        sg_columns_put(&to, i, lanes, &p[0].E);
        if (weight)
            vr_store_n(weight + i, w, lanes);
    }
    sg_columns_end(&to, n);
    return n;
}

static size_t generate(size_t n, size_t stride, const sg_phase_space *space, uint64_t seed, uint64_t first, int stream, real *out,
                       real *weight)
{
    if (space->method == SG_RAMBO)
        return run(space->bodies, n, stride, space, seed, first, stream, 0, out, weight);
    switch (space->bodies) { /* loops that the compiler unrolls */
    case 3: return run(3, n, stride, space, seed, first, stream, 1, out, weight);
    case 4: return run(4, n, stride, space, seed, first, stream, 1, out, weight);
    default: return run(space->bodies, n, stride, space, seed, first, stream, 1, out, weight);
    }
}

/* -------------------------------------------------------------------------------------------------- RAMBO on diet */

/* x^k (k + 1 - k x), the distribution of a squared ratio of masses: eq. 8 with x = u^2. */
SG_INLINE vr distribution(int k, vr x)
{
    return vr_mul(vr_powi(x, k), vr_fnma(vr_set1((real)k), x, vr_set1((real)(k + 1))));
}

/* Its inverse by Newton's steps from the inflection point, from where they do not cross the root. Each lane stops by itself. */
SG_INLINE vr distribution_inverse(int k, vr r)
{
    vr x = vr_set1((real)(k - 1) / (real)k), one = vr_set1(1);
    vr limit = vr_mul(r, vr_set1(EPSILON * (real)(k + 4)));
    vm busy  = vr_eq(r, r);
    for (int step = 0; step < 128 && vm_any(busy); step++) {
        vr excess = vr_sub(distribution(k, x), r);
        vr slope  = vr_mul(vr_set1((real)k * (real)(k + 1)), vr_mul(vr_powi(x, k - 1), vr_sub(one, x)));
        busy      = vm_and(busy, vr_lt(limit, vr_abs(excess)));
        x         = vr_select(busy, vr_min(vr_sub(x, vr_div(excess, slope)), one), x);
    }
    return x;
}

/* Particle s leaves the system of particles s .. n - 1, of mass M = K + sum of their masses; the K are drawn as the masses of
 * massless systems, and the weight makes up for the difference. */
static void diet(size_t n, size_t stride, const sg_phase_space *space, const real *u, real *out, real *weight)
{
    size_t bodies = space->bodies;
    for (size_t i = 0; i < n; i += VL) {
        size_t lanes = n - i < VL ? n - i : VL;
        vr     K = vr_set1(R(space->free)), M = vr_set1(R(space->total)), E = M, w = vr_set1(1), zero = vr_zero();
        vr     P[3] = {zero, zero, zero};
        for (size_t s = 0; s + 1 < bodies; s++) {
            vr m = vr_set1(R(space->mass[s])), next = zero, q[3];
            if (s + 2 < bodies) {
                vr r = vr_max(vr_load_n(u + s * stride + i, lanes), vr_set1(EPSILON * EPSILON));
                next = vr_mul(K, vr_sqrt(distribution_inverse((int)(bodies - 2 - s), r)));
                next = vr_min(next, vr_mul(K, vr_set1(1 - 2 * EPSILON)));
            }
            vr system = vr_add(next, vr_set1(R(space->from[s + 1]))), rest = vr_sub(K, next);
            vr others = sg_breakup(rest, system, m); /* 4 M^2 p^2 / rest */
            vr p      = vr_div(vr_mul(vr_set1(R(0.5)), vr_sqrt(vr_mul(rest, others))), M);
            /* (p / M) / ((1 - next^2 / K^2) / 2), and M dM = (M / K) K dK but for the parent */
            vr ratio = vr_div(vr_mul(K, vr_sqrt(vr_div(others, rest))), vr_mul(M, vr_add(K, next)));
            w        = vr_mul(w, s ? ratio : vr_div(vr_mul(ratio, K), M));
            size_t angle = bodies - 2 + 2 * s;
            sg_direction(p, vr_load_n(u + angle * stride + i, lanes), vr_load_n(u + (angle + 1) * stride + i, lanes), q);
            if (s)
                sg_from_rest(P, E, M, vr_sqrt(vr_fma(m, m, vr_mul(p, p))), q);
            real *to = out + 4 * s * stride + i;
            vr_store_n(to, sg_on_shell(m, q), lanes);
            for (int c = 0; c < 3; c++) {
                vr_store_n(to + (size_t)(c + 1) * stride, q[c], lanes);
                P[c] = vr_sub(P[c], q[c]);
            }
            E = sg_on_shell(system, P);
            K = next;
            M = system;
        }
        real *to = out + 4 * (bodies - 1) * stride + i;
        vr_store_n(to, E, lanes);
        for (int c = 0; c < 3; c++)
            vr_store_n(to + (size_t)(c + 1) * stride, P[c], lanes);
        vr_store_n(weight + i, w, lanes);
    }
}

static void diet_inverse(size_t n, size_t stride, const sg_phase_space *space, const real *momenta, real *u)
{
    size_t bodies = space->bodies;
    vr     one = vr_set1(1), half = vr_set1(R(0.5)), zero = vr_zero();
    for (size_t i = 0; i < n; i += VL) {
        size_t   lanes = n - i < VL ? n - i : VL;
        momentum p[N], sum[N];
        for (size_t s = bodies; s-- > 0;) {
            vr *to = &p[s].E, *total = &sum[s].E, *rest = &sum[s + 1 < bodies ? s + 1 : s].E;
            for (size_t c = 0; c < 4; c++) {
                to[c]    = vr_load_n(momenta + (4 * s + c) * stride + i, lanes);
                total[c] = s + 1 < bodies ? vr_add(to[c], rest[c]) : to[c];
            }
        }
        vr K = vr_set1(R(space->free)), M = vr_set1(R(space->total));
        for (size_t s = 0; s + 1 < bodies; s++) {
            vr *q = p[s].p;
            if (s)
                sg_to_rest(sum[s].p, sum[s].E, M, p[s].E, q);
            vr length = vr_sqrt(sg_square(q)), cosine = vr_div(q[2], length);
            cosine = vr_select(vr_lt(zero, length), cosine, zero);
            size_t angle = bodies - 2 + 2 * s;
            vr_store_n(u + angle * stride + i, vr_min(vr_max(vr_fma(half, cosine, half), zero), one), lanes);
            vr phi = vr_fma(vr_atan2(q[1], q[0]), vr_set1(R(0.15915494309189533577)), half);
            vr_store_n(u + (angle + 1) * stride + i, vr_min(vr_max(phi, zero), one), lanes);
            if (s + 2 < bodies) {
                const momentum *left = &sum[s + 1];
                vr speed = vr_sqrt(sg_square(left->p));
                vr mass  = vr_sqrt(vr_max(vr_mul(vr_sub(left->E, speed), vr_add(left->E, speed)), zero));
                vr next  = vr_max(vr_sub(mass, vr_set1(R(space->from[s + 1]))), zero);
                vr share = vr_min(vr_div(next, K), one);
                vr_store_n(u + s * stride + i, vr_min(distribution((int)(bodies - 2 - s), vr_mul(share, share)), one), lanes);
                K = next;
                M = mass;
            }
        }
    }
}

#if SG_REAL_IS_FLOAT
const sg_phase_space_f32 SG_HOT(sg_events_phase_space) = {
#else
const sg_phase_space_f64 SG_HOT(sg_events_phase_space) = {
#endif
    .generate     = generate,
    .diet         = diet,
    .diet_inverse = diet_inverse,
};
