/* SPDX-License-Identifier: BSD-3-Clause */
/* A vector of events at a time. Squared masses are (E - |p|)(E + |p|): fewer digits are lost than with squares. */
#include "events/observables.h"

#include "base/simd.h"
#include "base/vmath.h"

#if SG_REAL_IS_FLOAT
#define EPSILON R(1.1920929e-07)
#define TINY    R(1e-30)
#else
#define EPSILON R(2.2204460492503131e-16)
#define TINY    R(1e-290)
#endif
#define PI     R(3.14159265358979323846)
#define TWO_PI R(6.28318530717958647692)
#define W_MASS R(80.4) /* [GeV], where m_W is looked for */

typedef struct {
    vr e, x, y, z;
} momentum;

/* Columns of a block of up to VL events. */
typedef struct {
    const real *columns;
    size_t      stride, n;
} block;

SG_INLINE vr take(const block *b, size_t column)
{
    const real *p = b->columns + column * b->stride;
    return b->n == VL ? vr_load(p) : vr_load_n(p, b->n);
}

SG_INLINE void put(real *out, const block *b, size_t row, vr value)
{
    if (b->n == VL)
        vr_store(out + row * b->stride, value);
    else
        vr_store_n(out + row * b->stride, value, b->n);
}

SG_INLINE vr       square(vr a) { return vr_mul(a, a); }
SG_INLINE momentum plus(momentum a, momentum b)
{
    return (momentum){vr_add(a.e, b.e), vr_add(a.x, b.x), vr_add(a.y, b.y), vr_add(a.z, b.z)};
}
SG_INLINE vr transverse(momentum a) { return vr_sqrt(vr_fma(a.x, a.x, square(a.y))); }
SG_INLINE vr length(momentum a) { return vr_sqrt(vr_fma(a.x, a.x, vr_fma(a.y, a.y, square(a.z)))); }
SG_INLINE vr dot(momentum a, momentum b) { return vr_fma(a.x, b.x, vr_fma(a.y, b.y, vr_mul(a.z, b.z))); }
SG_INLINE vr mass_square(momentum a)
{
    vr p = length(a);
    return vr_mul(vr_sub(a.e, p), vr_add(a.e, p));
}
SG_INLINE vr mass(momentum a)
{
    vr m2 = mass_square(a);
    return vr_copysign(vr_sqrt(vr_abs(m2)), m2);
}
/* sign(pz) ln((E + |pz|) / sqrt(E^2 - pz^2)); 0 of a momentum at rest or absent */
SG_INLINE vr rapidity(momentum a)
{
    vr z = vr_abs(a.z), across = vr_mul(vr_sub(a.e, z), vr_add(a.e, z));
    vr y = vr_log(vr_div(vr_max(vr_add(a.e, z), vr_set1(TINY)), vr_sqrt(vr_max(across, vr_set1(TINY)))));
    return vr_copysign(vr_select(vr_lt(vr_zero(), z), y, vr_zero()), a.z);
}
SG_INLINE vr angle_between(vr phi_a, vr phi_b)
{
    vr d = vr_sub(phi_a, phi_b);
    return vr_min(vr_abs(vr_fnma(vr_round(vr_mul(d, vr_set1(R(1) / TWO_PI))), vr_set1(TWO_PI), d)), vr_set1(PI));
}
SG_INLINE vr separation_of(vr d_eta, vr d_phi) { return vr_sqrt(vr_fma(d_eta, d_eta, square(d_phi))); }
SG_INLINE vr ratio(vr a, vr b) /* 0 where b is 0 */
{
    vr some = vr_max(vr_abs(b), vr_set1(TINY));
    return vr_div(a, vr_copysign(some, b));
}
/* Defect of a mass shell; what rounding makes is 0, so that samples do not differ by the order of their operations. */
SG_INLINE vr defect(vr value)
{
    return vr_select(vr_lt(vr_abs(value), vr_set1(64 * EPSILON)), vr_zero(), value);
}

SG_INLINE momentum of_detector(vr e, vr pt, vr eta, vr phi)
{
    vr s, c, g = vr_exp(eta);
    vr_sincos(phi, &s, &c);
    vr small = vr_mul(eta, vr_fma(square(eta), vr_set1(R(1) / R(6)), vr_set1(1))); /* sinh where exp cancels */
    vr large = vr_mul(vr_set1(R(0.5)), vr_sub(g, vr_div(vr_set1(1), g)));
    vr sinh  = vr_select(vr_lt(vr_abs(eta), vr_set1(R(1e-2))), vr_fma(vr_mul(square(square(eta)), eta), vr_set1(R(1) / R(120)), small), large);
    return (momentum){e, vr_mul(pt, c), vr_mul(pt, s), vr_mul(pt, sinh)};
}

SG_INLINE momentum object(const block *b, sg_coordinates coordinates, const size_t index[4])
{
    vr q[4];
    for (int i = 0; i < 4; i++)
        q[i] = take(b, index[i]);
    return coordinates == SG_DETECTOR ? of_detector(q[0], q[1], q[2], q[3]) : (momentum){q[0], q[1], q[2], q[3]};
}

SG_INLINE block block_at(const real *columns, size_t stride, size_t n, size_t from)
{
    return (block){columns + from, stride, n - from < VL ? n - from : VL};
}

static void system_of(size_t n, size_t stride, const real *columns, sg_coordinates coordinates, size_t n_objects,
                      const int64_t *index, real *out)
{
    for (size_t i = 0; i < n; i += VL) {
        block    b   = block_at(columns, stride, n, i);
        momentum sum = {vr_zero(), vr_zero(), vr_zero(), vr_zero()};
        for (size_t k = 0; k < n_objects; k++) {
            size_t at[4];
            for (int q = 0; q < 4; q++)
                at[q] = (size_t)index[4 * k + (size_t)q];
            sum = plus(sum, object(&b, coordinates, at));
        }
        const vr value[SG_SYSTEM_COLUMNS] = {sum.e, sum.x, sum.y, sum.z, mass(sum), transverse(sum), rapidity(sum)};
        for (size_t k = 0; k < SG_SYSTEM_COLUMNS; k++)
            put(out + i, &b, k, value[k]);
    }
}

static void separation(size_t n, const real *eta_a, const real *phi_a, const real *eta_b, const real *phi_b, real *dphi,
                       real *dr)
{
    for (size_t i = 0; i < n; i += VL) {
        size_t m = n - i < VL ? n - i : VL;
        vr     d = angle_between(vr_load_n(phi_a + i, m), vr_load_n(phi_b + i, m));
        vr_store_n(dphi + i, d, m);
        vr_store_n(dr + i, separation_of(vr_sub(vr_load_n(eta_a + i, m), vr_load_n(eta_b + i, m)), d), m);
    }
}

static void two_body(size_t n, size_t stride, const real *columns, real *out)
{
    static const size_t first[4] = {0, 2, 3, 4}, second[4] = {1, 5, 6, 7};
    for (size_t i = 0; i < n; i += VL) {
        block    b = block_at(columns, stride, n, i);
        momentum p1 = object(&b, SG_CARTESIAN, first), p2 = object(&b, SG_CARTESIAN, second), sum = plus(p1, p2);
        vr       m = mass(sum), m2 = vr_max(vr_abs(mass_square(sum)), vr_set1(TINY)), l1 = length(p1);
        vr       shift = vr_div(length(sum), vr_max(vr_abs(m), vr_set1(TINY)));
        const vr value[SG_TWO_BODY_COLUMNS] = {
            m,
            sum.e,
            vr_select(vr_lt(shift, vr_set1(64 * EPSILON)), vr_zero(), length(sum)),
            l1,
            length(p2),
            ratio(p1.z, l1),
            defect(vr_div(vr_sub(mass_square(p1), square(take(&b, 8))), m2)),
            defect(vr_div(vr_sub(mass_square(p2), square(take(&b, 9))), m2)),
        };
        for (size_t k = 0; k < SG_TWO_BODY_COLUMNS; k++)
            put(out + i, &b, k, value[k]);
    }
}

/* The absent flavour is zero: the sum over flavours is the lepton of the other. */
static void dilepton(size_t n, size_t stride, const real *columns, real *out)
{
    static const size_t index[4][4] = {{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}, {12, 13, 14, 15}};
    for (size_t i = 0; i < n; i += VL) {
        block    b     = block_at(columns, stride, n, i);
        momentum minus = plus(object(&b, SG_CARTESIAN, index[0]), object(&b, SG_CARTESIAN, index[2]));
        momentum other = plus(object(&b, SG_CARTESIAN, index[1]), object(&b, SG_CARTESIAN, index[3]));
        momentum pair  = plus(minus, other);
        vr       m = mass(pair), pt = transverse(pair), size = vr_max(vr_abs(mass_square(pair)), vr_set1(TINY));
        /* Collins & Soper 1977, doi:10.1103/PhysRevD.16.2219: 2 (l-_z l+_E - l-_E l+_z) / (m sqrt(m^2 + pT^2)) */
        vr numerator = vr_mul(vr_set1(2), vr_fnma(minus.e, other.z, vr_mul(minus.z, other.e)));
        vr cosine    = ratio(numerator, vr_mul(m, vr_sqrt(vr_fma(m, m, square(pt)))));
        const vr value[SG_DILEPTON_COLUMNS] = {
            m,
            pair.e,
            pt,
            rapidity(pair),
            vr_max(vr_min(cosine, vr_set1(1)), vr_set1(-1)),
            ratio(dot(minus, other), vr_mul(length(minus), length(other))),
            transverse(minus),
            transverse(other),
            defect(vr_div(mass_square(minus), size)),
            defect(vr_div(mass_square(other), size)),
        };
        for (size_t k = 0; k < SG_DILEPTON_COLUMNS; k++)
            put(out + i, &b, k, value[k]);
    }
}

enum { MET, PHI_MET, OBJECT, PER_OBJECT = 4, JETS = 4, LEPTON = 4 }; /* columns: MET, phi_MET, (E, pT, eta, phi) of j1 .. j4, l1, l2 */

static void top_pair(size_t n, size_t stride, const real *columns, real *out)
{
    static const int pair[6][2]   = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
    static const int triple[4][3] = {{0, 1, 2}, {0, 1, 3}, {0, 2, 3}, {1, 2, 3}};
    for (size_t i = 0; i < n; i += VL) {
        block    b = block_at(columns, stride, n, i);
        vr       value[SG_TOP_PAIR_COLUMNS], eta[6], phi[6];
        momentum p[6], pairs[6];
        size_t   k = 0;
        for (size_t o = 0; o < 6; o++) {
            size_t first = OBJECT + PER_OBJECT * o;
            eta[o]       = take(&b, first + 2);
            phi[o]       = take(&b, first + 3);
            p[o]         = of_detector(take(&b, first), take(&b, first + 1), eta[o], phi[o]);
        }
        vr met = take(&b, MET), phi_met = take(&b, PHI_MET), s, c;
        vr_sincos(phi_met, &s, &c);
        vr       met_x = vr_mul(met, c), met_y = vr_mul(met, s);
        vm       second = vr_lt(vr_zero(), p[5].e); /* is there a second lepton? */
        for (int j = 0; j < JETS; j++)
            value[k++] = mass(p[j]);
        vr m_w = vr_zero(), best = vr_set1(R(1e30)), m_top = vr_zero();
        for (int q = 0; q < 6; q++) {
            pairs[q]   = plus(p[pair[q][0]], p[pair[q][1]]);
            vr m       = mass(pairs[q]);
            value[k++] = m;
        }
        for (int t = 0; t < 4; t++)
            value[k++] = mass(plus(plus(p[triple[t][0]], p[triple[t][1]]), p[triple[t][2]]));
        momentum jets = plus(pairs[0], pairs[5]), one = plus(jets, p[LEPTON]), two = plus(one, p[LEPTON + 1]);
        value[k++] = mass(jets);
        value[k++] = mass(one);
        value[k++] = mass(two);
        for (int j = 0; j < JETS; j++)
            value[k++] = mass(plus(p[LEPTON], p[j]));
        value[k++] = vr_select(second, mass(plus(p[LEPTON], p[LEPTON + 1])), vr_zero());
        for (int q = 0; q < 6; q++) {
            int a = pair[q][0], d = pair[q][1];
            value[k++] = separation_of(vr_sub(eta[a], eta[d]), angle_between(phi[a], phi[d]));
        }
        for (int j = 0; j < JETS; j++)
            value[k++] = separation_of(vr_sub(eta[LEPTON], eta[j]), angle_between(phi[LEPTON], phi[j]));
        vr open    = angle_between(phi[LEPTON], phi_met);
        vr pt_l    = take(&b, OBJECT + PER_OBJECT * LEPTON + 1);
        value[k++] = open;
        value[k++] = angle_between(phi[0], phi_met);
        /* mT^2 = 2 pT MET (1 - cos) = 2 (pT MET - pT . MET) */
        vr along   = vr_fma(p[LEPTON].x, met_x, vr_mul(p[LEPTON].y, met_y));
        vr mt2     = vr_mul(vr_set1(2), vr_sub(vr_mul(pt_l, met), along));
        value[k++] = vr_sqrt(vr_max(mt2, vr_zero()));
        vr h_t     = vr_zero();
        for (size_t j = 0; j < JETS; j++)
            h_t = vr_add(h_t, take(&b, OBJECT + PER_OBJECT * j + 1));
        value[k++]   = h_t;
        value[k++]   = transverse(jets);
        momentum all = two;
        all.x        = vr_add(all.x, met_x);
        all.y        = vr_add(all.y, met_y);
        value[k++]   = transverse(all);
        value[k++]   = rapidity(one);
        /* hadronic W: the pair nearest its mass; top: with the one of the two other jets that gives the larger pT */
        for (int q = 0; q < 6; q++) {
            vr m = value[4 + q], far = vr_abs(vr_sub(m, vr_set1(W_MASS)));
            int other[2], found = 0;
            for (int j = 0; j < JETS; j++)
                if (j != pair[q][0] && j != pair[q][1])
                    other[found++] = j;
            momentum t0 = plus(pairs[q], p[other[0]]), t1 = plus(pairs[q], p[other[1]]);
            vr top = vr_select(vr_lt(transverse(t0), transverse(t1)), mass(t1), mass(t0));
            vm nearer = vr_lt(far, best);
            best      = vr_select(nearer, far, best);
            m_w       = vr_select(nearer, m, m_w);
            m_top     = vr_select(nearer, top, m_top);
        }
        value[k++] = m_w;
        value[k++] = m_top;
        vr w_x = vr_add(p[LEPTON].x, met_x), w_y = vr_add(p[LEPTON].y, met_y);
        value[k++] = vr_sqrt(vr_fma(w_x, w_x, square(w_y)));
        for (size_t row = 0; row < SG_TOP_PAIR_COLUMNS; row++)
            put(out + i, &b, row, value[row]);
    }
}

#if SG_REAL_IS_FLOAT
const sg_observables_f32 SG_HOT(sg_events_observables) = {
#else
const sg_observables_f64 SG_HOT(sg_events_observables) = {
#endif
    .system     = system_of,
    .separation = separation,
    .two_body   = two_body,
    .dilepton   = dilepton,
    .top_pair   = top_pair,
};
