/* SPDX-License-Identifier: BSD-3-Clause */
/* A vector of events at a time. */
#include "events/top_coordinates.h"

#include "base/vmath.h"
#include "nn/lanes.h"

#define PI     R(3.14159265358979323846)
#define TWO_PI R(6.28318530717958647692)

enum { JETS = 4, LEPTON = 4, OBJECTS = 5 };            /* of features: the second lepton is no object of its own */
enum { MET, PHI_MET, FIRST, PER_OBJECT = 4, SECOND = FIRST + 5 * PER_OBJECT }; /* columns */
enum { E, PT, ETA, PHI };                              /* of an object */

#define LIGHT R(2e-3) /* m / pT that float columns do not resolve */

SG_INLINE vr set(double x) { return vr_set1((real)x); }
SG_INLINE vr square(vr a) { return vr_mul(a, a); }
SG_INLINE vr wrap(vr phi)
{
    vr in = vr_fnma(vr_round(vr_mul(phi, set(1 / 6.28318530717958647692))), vr_set1(TWO_PI), phi);
    return vr_max(vr_min(in, vr_set1(PI)), vr_set1(-PI));
}
SG_INLINE vr turned(vr phi) { return vr_select(vr_lt(phi, vr_zero()), vr_add(phi, vr_set1(TWO_PI)), phi); } /* to [0, 2 pi) */
SG_INLINE vr hypotenuse(vr x, vr y) { return vr_sqrt(vr_fma(x, x, square(y))); }
SG_INLINE vr positive_root(vr a) { return vr_sqrt(vr_max(a, vr_zero())); }
SG_INLINE vr signed_one(vr a) { return vr_select(vr_lt(a, vr_zero()), vr_set1(-1), vr_set1(1)); }
SG_INLINE vr cosh_of(vr eta)
{
    vr g = vr_exp(vr_abs(eta));
    return vr_mul(set(0.5), vr_add(g, vr_div(vr_set1(1), g)));
}
SG_INLINE vr sinh_of(vr eta)
{
    vr g = vr_expm1(vr_abs(eta));
    return vr_copysign(vr_mul(set(0.5), vr_add(g, vr_div(g, vr_add(g, vr_set1(1))))), eta);
}

/* A column of a block of up to VL events. */
typedef struct block {
    size_t at, stride, lanes;
} block;
SG_INLINE vr   take(block b, const real *from, size_t row) { return sg_lanes_load(from + row * b.stride + b.at, b.lanes); }
SG_INLINE void put(block b, real *to, size_t row, vr value) { sg_lanes_store(to + row * b.stride + b.at, value, b.lanes); }
SG_INLINE block block_at(size_t n, size_t stride, size_t i) { return (block){i, stride, sg_lanes(n - i)}; }

/* ---------------------------------------------------------------------------------------------- coordinates */
static void encode(size_t n, size_t stride, real least_jet, real least_lepton, const real *columns, const real *even,
                   real *coordinates, real *second, real *symmetries)
{
    for (size_t i = 0; i < n; i += VL) {
        const block b = block_at(n, stride, i);
        vr          q[6][PER_OBJECT], log_pt[6];
        for (size_t o = 0; o < 6; o++) {
            const vr least = vr_set1(o < JETS ? least_jet : least_lepton);
            for (size_t k = 0; k < PER_OBJECT; k++)
                q[o][k] = take(b, columns, FIRST + PER_OBJECT * o + k);
            log_pt[o] = vr_log(vr_max(vr_div(q[o][PT], least), set(1 + 1e-6)));
        }
        const vm there = vr_lt(vr_zero(), q[5][PT]);
        const vr side = signed_one(q[0][ETA]), azimuth = q[0][PHI], none = vr_zero();
        const vr hand = signed_one(wrap(vr_sub(q[1][PHI], azimuth)));
        vr       phi[6];
        for (size_t o = 0; o < 6; o++)
            phi[o] = turned(vr_mul(hand, wrap(vr_sub(q[o][PHI], azimuth))));
        put(b, coordinates, SG_TOP_PT, log_pt[0]);
        for (size_t o = 1; o < JETS; o++) {
            put(b, coordinates, SG_TOP_PT + o, vr_div(log_pt[o], log_pt[o - 1]));
            put(b, coordinates, SG_TOP_PHI + o - 1, phi[o]);
        }
        put(b, coordinates, SG_TOP_LEPTON_PT, log_pt[LEPTON]);
        for (size_t o = 0; o < OBJECTS; o++)
            put(b, coordinates, SG_TOP_ETA + o, vr_mul(side, q[o][ETA]));
        put(b, coordinates, SG_TOP_LEPTON_PHI, phi[LEPTON]);
        put(b, coordinates, SG_TOP_SECOND, vr_select(there, vr_div(log_pt[5], log_pt[LEPTON]), none));
        put(b, coordinates, SG_TOP_SECOND + 1, vr_select(there, vr_mul(side, q[5][ETA]), none));
        put(b, coordinates, SG_TOP_SECOND + 2, vr_select(there, phi[5], none));

        const vr met = take(b, columns, MET), open = wrap(vr_mul(hand, vr_sub(take(b, columns, PHI_MET), q[LEPTON][PHI])));
        vr       s, c;
        vr_sincos(vr_mul(set(0.5), open), &s, &c);
        put(b, coordinates, SG_TOP_MET, vr_mul(vr_mul(vr_set1(2), vr_sqrt(vr_mul(q[LEPTON][PT], met))), vr_abs(s)));
        put(b, coordinates, SG_TOP_MET + 1, vr_mul(vr_mul(vr_sqrt(vr_add(met, met)), c), signed_one(open)));
        for (size_t o = 0; o < JETS; o++) {
            const vr p = vr_mul(q[o][PT], cosh_of(q[o][ETA]));
            const vr m = positive_root(vr_mul(vr_sub(q[o][E], p), vr_add(q[o][E], p))), r = vr_div(m, q[o][PT]);
            const vr light = vr_add(vr_log(vr_set1(LIGHT)), vr_mul(set(0.5), vr_log(vr_sub(vr_set1(1), take(b, even, o)))));
            put(b, coordinates, SG_TOP_MASS + o,
                vr_select(vr_lt(r, vr_set1(LIGHT)), light, vr_log(vr_max(r, vr_set1(LIGHT)))));
        }
        put(b, second, 0, vr_select(there, vr_set1(1), none));
        put(b, symmetries, 0, side);
        put(b, symmetries, 1, hand);
        put(b, symmetries, 2, azimuth);
    }
}

/* Missing momentum along and across the lepton, from mT and tau. */
SG_INLINE void missing(vr lepton_pt, vr mt, vr tau, vr *along, vr *across)
{
    const vr s = vr_div(mt, vr_sqrt(vr_add(lepton_pt, lepton_pt))); /* sqrt(2 MET) |sin(d / 2)| */
    *along     = vr_mul(set(0.5), vr_mul(vr_sub(tau, s), vr_add(tau, s)));
    *across    = vr_mul(s, tau);
}

static void decode(size_t n, size_t stride, real least_jet, real least_lepton, const real *coordinates, const real *second,
                   const real *symmetries, size_t column_stride, real *columns)
{
    for (size_t i = 0; i < n; i += VL) {
        const block b = block_at(n, stride, i), out = block_at(n, column_stride, i);
        const vr    side = take(b, symmetries, 0), hand = take(b, symmetries, 1), azimuth = take(b, symmetries, 2);
        const vm    there = vr_lt(vr_zero(), take(b, second, 0));
        vr          log_pt = take(b, coordinates, SG_TOP_PT);
        for (size_t o = 0; o < JETS; o++) {
            if (o)
                log_pt = vr_mul(log_pt, take(b, coordinates, SG_TOP_PT + o));
            const vr pt  = vr_mul(vr_set1(least_jet), vr_exp(log_pt)), eta = take(b, coordinates, SG_TOP_ETA + o);
            const vr phi = o ? vr_mul(hand, take(b, coordinates, SG_TOP_PHI + o - 1)) : vr_zero();
            const vr r   = vr_exp(take(b, coordinates, SG_TOP_MASS + o));
            put(out, columns, FIRST + PER_OBJECT * o + E, vr_mul(pt, vr_sqrt(vr_fma(r, r, square(cosh_of(eta))))));
            put(out, columns, FIRST + PER_OBJECT * o + PT, pt);
            put(out, columns, FIRST + PER_OBJECT * o + ETA, vr_mul(side, eta));
            put(out, columns, FIRST + PER_OBJECT * o + PHI, wrap(vr_add(phi, azimuth)));
        }
        const vr lepton = take(b, coordinates, SG_TOP_LEPTON_PT), lepton_phi = take(b, coordinates, SG_TOP_LEPTON_PHI);
        const vr lepton_pt = vr_mul(vr_set1(least_lepton), vr_exp(lepton));
        for (size_t o = LEPTON; o < 6; o++) {
            const int is_second = o == 5;
            const vr  pt        = is_second ? vr_mul(vr_set1(least_lepton), vr_exp(vr_mul(lepton, take(b, coordinates, SG_TOP_SECOND))))
                                            : lepton_pt;
            const vr  eta = take(b, coordinates, is_second ? SG_TOP_SECOND + 1 : SG_TOP_LEPTON_ETA);
            const vr  phi = is_second ? take(b, coordinates, SG_TOP_SECOND + 2) : lepton_phi;
            const vr  value[PER_OBJECT] = {vr_mul(pt, cosh_of(eta)), pt, vr_mul(side, eta), wrap(vr_fma(hand, phi, azimuth))};
            for (size_t k = 0; k < PER_OBJECT; k++)
                put(out, columns, FIRST + PER_OBJECT * o + k, is_second ? vr_select(there, value[k], vr_zero()) : value[k]);
        }
        vr along, across;
        missing(lepton_pt, take(b, coordinates, SG_TOP_MET), take(b, coordinates, SG_TOP_MET + 1), &along, &across);
        put(out, columns, MET, hypotenuse(along, across));
        put(out, columns, PHI_MET, wrap(vr_fma(hand, vr_add(lepton_phi, vr_atan2(across, along)), azimuth)));
    }
}

/* ------------------------------------------------------------------------------------------------- features */
enum { X, Y = X + OBJECTS, Z = Y + OBJECTS, ENERGY = Z + OBJECTS, PTS = ENERGY + OBJECTS, SUM_X = PTS + OBJECTS, SUM_Y }; /* state */
_Static_assert(SUM_Y + 1 == SG_TOP_STATE, "rows of the state");
enum { F_SECOND, F_LOG_PT, F_LEPTON = 87 }; /* features that later ones are made of: log pT of the jets, cos and sin of phi_l */

/* Features are written one after the other. */
typedef struct writer {
    block  b;
    real  *features;
    size_t row;
} writer;
SG_INLINE void add(writer *w, vr value) { put(w->b, w->features, w->row++, value); }

typedef struct momentum {
    vr x, y, z, e;
} momentum;
SG_INLINE momentum object(block b, const real *state, size_t o)
{
    return (momentum){take(b, state, X + o), take(b, state, Y + o), take(b, state, Z + o), take(b, state, ENERGY + o)};
}
SG_INLINE momentum plus(momentum a, momentum c)
{
    return (momentum){vr_add(a.x, c.x), vr_add(a.y, c.y), vr_add(a.z, c.z), vr_add(a.e, c.e)};
}
/* ln(m / 100 GeV), of at least 1 GeV */
SG_INLINE vr log_mass(momentum a)
{
    vr m2 = vr_sub(square(a.e), vr_fma(a.x, a.x, vr_fma(a.y, a.y, square(a.z))));
    return vr_fma(set(0.5), vr_log(vr_max(m2, vr_set1(1))), set(-4.605170185988091));
}
SG_INLINE vr log_separation(vr d_eta, vr phi_a, vr phi_b)
{
    vr d = vr_abs(vr_sub(phi_a, phi_b));
    return vr_log(vr_add(hypotenuse(d_eta, vr_min(d, vr_sub(vr_set1(TWO_PI), d))), set(0.05)));
}
SG_INLINE vr log_size(vr p) { return vr_log(vr_fma(p, set(1.0 / 50), set(0.1))); }

/* Abramowitz & Stegun 4.4.46: an angle to 2e-8, which a feature may have. */
SG_INLINE vr angle_of(vr cosine)
{
    static const double c[] = {1.5707963050, -0.2145988016, 0.0889789874, -0.0501743046,
                               0.0308918810, -0.0170881256, 0.0066700901, -0.0012624911};
    const vr            x   = vr_abs(cosine);
    vr                  p   = set(c[7]);
    for (int k = 6; k >= 0; k--)
        p = vr_fma(p, x, set(c[k]));
    p = vr_mul(p, positive_root(vr_sub(vr_set1(1), x)));
    return vr_select(vr_lt(cosine, vr_zero()), vr_sub(vr_set1(PI), p), p);
}
/* Where in azimuth two massless objects would have the mass m: its cosine, within 2, and the angle. */
SG_INLINE void resonance(writer *w, vr d_eta, vr pt_a, vr pt_b, double m)
{
    const vr one = vr_set1(1), x = vr_sub(cosh_of(d_eta), vr_div(set(m * m / 2), vr_mul(pt_a, pt_b)));
    add(w, vr_max(vr_min(x, vr_set1(2)), vr_set1(-2)));
    add(w, angle_of(vr_max(vr_min(x, one), vr_neg(one))));
    add(w, positive_root(vr_fnma(d_eta, d_eta, set(0.16)))); /* jets of radius 0.4 leave this hole in azimuth */
}
/* The sum of momenta so far: size and direction. */
SG_INLINE void recoil(writer *w, vr x, vr y)
{
    const vr size = vr_add(hypotenuse(x, y), set(1e-3));
    add(w, log_size(size));
    add(w, vr_div(x, size));
    add(w, vr_div(y, size));
}

/* Before the azimuths: where jets and lepton may meet in a W or a top. */
static void before_azimuths(writer *w, const real *coordinates, real *state)
{
    const block b = w->b;
    vr          eta[OBJECTS], pt[OBJECTS];
    for (size_t o = 0; o < OBJECTS; o++) {
        eta[o] = take(b, coordinates, SG_TOP_ETA + o);
        pt[o]  = take(b, state, PTS + o);
        put(b, state, Z + o, vr_mul(pt[o], sinh_of(eta[o])));
        put(b, state, ENERGY + o, vr_mul(pt[o], cosh_of(eta[o])));
    }
    put(b, state, X, pt[0]);
    put(b, state, Y, vr_zero());
    put(b, state, SUM_X, pt[0]);
    put(b, state, SUM_Y, vr_zero());
    add(w, eta[LEPTON]);
    for (size_t o = 0; o < JETS; o++)
        add(w, vr_abs(vr_sub(eta[LEPTON], eta[o])));
    for (size_t o = 1; o < JETS; o++)
        for (size_t k = 0; k < o; k++)
            resonance(w, vr_sub(eta[o], eta[k]), pt[o], pt[k], 80.4); /* W */
    for (size_t o = 0; o < JETS; o++)
        resonance(w, vr_sub(eta[LEPTON], eta[o]), pt[LEPTON], pt[o], 153); /* edge of m(l b) in t -> b l nu */
}

/* After the azimuth of object o is known: its momentum, and masses and distances with those before. */
static void after_azimuth(writer *w, size_t o, const real *coordinates, real *state)
{
    const block b   = w->b;
    const vr    phi = take(b, coordinates, o == LEPTON ? SG_TOP_LEPTON_PHI : SG_TOP_PHI + o - 1), pt = take(b, state, PTS + o);
    vr          s, c;
    vr_sincos(phi, &s, &c);
    add(w, c);
    add(w, s);
    add(w, phi);
    const momentum p = {vr_mul(pt, c), vr_mul(pt, s), take(b, state, Z + o), take(b, state, ENERGY + o)};
    put(b, state, X + o, p.x);
    put(b, state, Y + o, p.y);
    const vr x = vr_add(take(b, state, SUM_X), p.x), y = vr_add(take(b, state, SUM_Y), p.y);
    put(b, state, SUM_X, x);
    put(b, state, SUM_Y, y);
    const vr eta = take(b, coordinates, SG_TOP_ETA + o);
    for (size_t k = 0; k < o; k++) {
        const vr other = k ? take(b, coordinates, SG_TOP_PHI + k - 1) : vr_zero();
        add(w, log_mass(plus(object(b, state, k), p)));
        add(w, log_separation(vr_sub(take(b, coordinates, SG_TOP_ETA + k), eta), other, phi));
    }
    if (o < LEPTON)
        for (size_t k = 1; k < o; k++)
            for (size_t l = 0; l < k; l++)
                add(w, log_mass(plus(plus(object(b, state, k), object(b, state, l)), p)));
    if (o == JETS - 1)
        add(w, log_mass(plus(plus(object(b, state, 0), object(b, state, 1)), plus(object(b, state, 2), p))));
    recoil(w, x, y);
}

/* Before the missing momentum: what would balance the event, seen from the lepton. */
static void before_missing(writer *w, real least_lepton, const real *coordinates, real *state)
{
    const block b      = w->b;
    const vr    second = take(b, w->features, F_SECOND), lc = take(b, w->features, F_LEPTON), ls = take(b, w->features, F_LEPTON + 1);
    const vr    p2     = vr_mul(second, vr_mul(vr_set1(least_lepton), vr_exp(vr_mul(take(b, coordinates, SG_TOP_LEPTON_PT),
                                                                                   take(b, coordinates, SG_TOP_SECOND)))));
    vr          s, c;
    vr_sincos(take(b, coordinates, SG_TOP_SECOND + 2), &s, &c);
    add(w, vr_mul(second, c));
    add(w, vr_mul(second, s));
    const vr x = vr_neg(vr_fma(p2, c, take(b, state, SUM_X))), y = vr_neg(vr_fma(p2, s, take(b, state, SUM_Y)));
    add(w, log_size(vr_add(hypotenuse(x, y), set(1e-3))));
    vr along = vr_zero(), across = vr_zero();
    for (size_t jet = 0; jet <= JETS; jet++) { /* 0: the balance */
        const vr px = jet ? take(b, state, X + jet - 1) : x, py = jet ? take(b, state, Y + jet - 1) : y;
        const vr u = vr_fma(px, lc, vr_mul(py, ls)), v = vr_fnma(px, ls, vr_mul(py, lc));
        if (jet == 0)
            along = u, across = v;
        add(w, vr_mul(u, set(1.0 / 50)));
        add(w, vr_mul(v, set(1.0 / 50)));
    }
    const vr size = hypotenuse(along, across), pt = take(b, state, PTS + LEPTON);
    add(w, vr_mul(positive_root(vr_mul(vr_add(pt, pt), vr_sub(size, along))), set(1.0 / 80)));
    add(w, vr_mul(vr_mul(positive_root(vr_add(size, along)), signed_one(across)), set(1.0 / 5)));
}

static void features(size_t step, size_t n, size_t stride, real least_jet, real least_lepton, const real *coordinates,
                     const real *second, real *state, real *out)
{
    static const size_t first[] = {SG_TOP_FEATURES_OF_STEP};
    for (size_t i = 0; i < n; i += VL) {
        const block b = block_at(n, stride, i);
        writer      w = {b, out, step ? first[step - 1] : 0};
        switch (step) {
        case 0: add(&w, take(b, second, 0)); break;
        case 1: add(&w, take(b, coordinates, SG_TOP_PT)); break;
        case 2:
        case 3:
        case 4: add(&w, vr_mul(take(b, out, F_LOG_PT + step - 2), take(b, coordinates, SG_TOP_PT + step - 1))); break;
        case SG_TOP_ETA: {
            vr sum = vr_zero();
            for (size_t o = 0; o < JETS; o++) {
                const vr pt = vr_mul(vr_set1(least_jet), vr_exp(take(b, out, F_LOG_PT + o)));
                put(b, state, PTS + o, pt);
                sum = vr_add(sum, pt);
            }
            const vr lepton = take(b, coordinates, SG_TOP_LEPTON_PT);
            put(b, state, PTS + LEPTON, vr_mul(vr_set1(least_lepton), vr_exp(lepton)));
            add(&w, lepton);
            add(&w, vr_log(vr_mul(sum, set(0.01))));
            break;
        }
        case SG_TOP_ETA + 1:
        case SG_TOP_ETA + 2:
        case SG_TOP_ETA + 3:
        case SG_TOP_ETA + 4: {
            const size_t o   = step - SG_TOP_ETA - 1;
            const vr     eta = take(b, coordinates, SG_TOP_ETA + o);
            add(&w, eta);
            for (size_t k = 0; k < o; k++)
                add(&w, vr_abs(vr_sub(eta, take(b, coordinates, SG_TOP_ETA + k))));
            break;
        }
        case SG_TOP_PHI: before_azimuths(&w, coordinates, state); break;
        case SG_TOP_PHI + 1:
        case SG_TOP_PHI + 2:
        case SG_TOP_PHI + 3:
        case SG_TOP_SECOND: after_azimuth(&w, step - SG_TOP_PHI, coordinates, state); break;
        case SG_TOP_SECOND + 1:
            add(&w, vr_mul(take(b, second, 0), vr_mul(take(b, coordinates, SG_TOP_LEPTON_PT), take(b, coordinates, SG_TOP_SECOND))));
            break;
        case SG_TOP_SECOND + 2: add(&w, vr_mul(take(b, second, 0), take(b, coordinates, SG_TOP_SECOND + 1))); break;
        case SG_TOP_MET: before_missing(&w, least_lepton, coordinates, state); break;
        case SG_TOP_MET + 1: add(&w, vr_mul(take(b, coordinates, SG_TOP_MET), set(1.0 / 80))); break;
        case SG_TOP_MASS: {
            const vr tau = take(b, coordinates, SG_TOP_MET + 1), c = take(b, out, F_LEPTON), s = take(b, out, F_LEPTON + 1);
            vr       along, across;
            add(&w, vr_mul(tau, set(1.0 / 5)));
            missing(take(b, state, PTS + LEPTON), take(b, coordinates, SG_TOP_MET), tau, &along, &across);
            const vr x = vr_fnma(across, s, vr_mul(along, c)), y = vr_fma(along, s, vr_mul(across, c));
            add(&w, log_size(hypotenuse(x, y)));
            add(&w, vr_mul(x, set(1.0 / 50)));
            add(&w, vr_mul(y, set(1.0 / 50)));
            break;
        }
        default: add(&w, take(b, coordinates, step - 1)); break; /* masses of the jets before */
        }
    }
}

#if SG_REAL_IS_FLOAT
const sg_top_f32 SG_HOT(sg_events_top) = {
#else
const sg_top_f64 SG_HOT(sg_events_top) = {
#endif
    .encode   = encode,
    .features = features,
    .decode   = decode,
};
