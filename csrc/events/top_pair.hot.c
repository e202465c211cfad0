/* SPDX-License-Identifier: BSD-3-Clause */
/* Double only: whether a point is accepted must not depend on the precision of the columns. */
#include "events/top_pair.h"

#if SG_REAL_BITS == 64

#include "events/draw.h"

enum { BLOCK = SG_TOP_PAIR_BLOCK, ROW = SG_TOP_PAIR_ROW };
#define ATTEMPT_STREAM (SG_TOP_PAIR_STREAM + (1u << 20))
#define MASS_STREAM (SG_TOP_PAIR_STREAM + 64)
#define LEAST_PT R(1e-290)
#define LEAST_SCALE R(0.05) /* of smearing */

typedef float four __attribute__((vector_size(16)));

SG_INLINE vr set(double a) { return vr_set1(a); }
SG_INLINE vr square(vr a) { return vr_mul(a, a); }
SG_INLINE vr half(vr a) { return vr_mul(a, set(0.5)); }
SG_INLINE vr twice(vr a) { return vr_add(a, a); }

/* -------------------------------------------------------------------------------------------------- cross-section */

/* Four columns of the table, between two knots. */
SG_INLINE four between(const float *row, float part)
{
    four a, b;
    memcpy(&a, row, sizeof a);
    memcpy(&b, row + ROW, sizeof b);
    return a + part * (b - a);
}

/* g g and sum over flavours of q qbar + qbar q at two places in the table, in knots. */
SG_INLINE void luminosity(const sg_top_pair *t, vr place1, vr place2, vr *gg, vr *qq)
{
    const vr last = set((double)(t->n_x - 2));
    real     k1[VL], k2[VL], part1[VL], part2[VL], g[VL], q[VL];
    vr       low1 = vr_floor(vr_max(vr_min(place1, last), vr_zero())), low2 = vr_floor(vr_max(vr_min(place2, last), vr_zero()));
    vr_store(k1, low1);
    vr_store(k2, low2);
    vr_store(part1, vr_sub(place1, low1));
    vr_store(part2, vr_sub(place2, low2));
    for (int i = 0; i < VL; i++) {
        const float *a = t->pdf + ROW * (size_t)(int64_t)k1[i], *b = t->pdf + ROW * (size_t)(int64_t)k2[i];
        float        f1 = (float)part1[i], f2 = (float)part2[i];
        four         x = between(a, f1) * between(b, f2), y = between(a + 4, f1) * between(b + 4, f2);
        four         z = between(a + 8, f1) * between(b + 8, f2);
        /* gluons, five sums, five differences; added in fixed order: the same bits everywhere */
        four sum = x * (four){0, 1, 1, 1} + y * (four){1, 1, -1, -1} - z;
        g[i]     = (real)x[0];
        q[i]     = (real)((sum[0] + sum[2]) + (sum[1] + sum[3]));
    }
    *gg = vr_load(g);
    *qq = vr_load(q);
}

typedef struct {
    vr log_q, along; /* q = 1 / tau; along = beta cos(theta) */
    vr gg, qq;       /* [pb] */
} point;

SG_INLINE vr q_of(const sg_top_pair *t, vr u) { return vr_fnma(u, set(t->inverse - 1), set(t->inverse)); }
SG_INLINE vr beta_of(const sg_top_pair *t, vr u) { return vr_sqrt(vr_mul(u, set(1 - 1 / t->inverse))); }

/* x1 = q^(u1 - 1), x2 = q^(-u1). z = 1 - (beta cos)^2 = 4 t1 t2. */
SG_INLINE point density_at(const sg_top_pair *t, vr u0, vr u1, vr u2)
{
    const vr one = set(1);
    point    p;
    vr q = q_of(t, u0), beta = beta_of(t, u0);
    vr rho  = vr_mul(q, set(1 / t->inverse));
    p.log_q = vr_log(q);
    vr left = vr_mul(u1, p.log_q), knots = set(t->per_log_x), from = set(t->log_inverse), gg, qq;
    luminosity(t, vr_mul(vr_add(vr_sub(left, p.log_q), from), knots), vr_mul(vr_sub(from, left), knots), &gg, &qq);
    /* ln((1 + beta) / (1 - beta)) = 2 ln(1 + beta) - ln(rho) */
    vr range = vr_sub(twice(vr_log(vr_add(one, beta))), vr_sub(p.log_q, from));
    vr e     = vr_expm1(vr_mul(range, vr_sub(twice(u2), one)));
    vr r     = vr_div(one, vr_add(e, set(2)));
    p.along  = vr_mul(e, r);
    vr z     = vr_mul(vr_mul(set(4), vr_add(e, one)), square(r));
    vr curve = vr_fnma(set(0.5), z, one);
    vr a_gg  = vr_mul(vr_fnma(set(3.0 / 8), z, set(2.0 / 3)), vr_sub(vr_add(curve, rho), vr_div(square(rho), z)));
    vr a_qq  = vr_mul(vr_mul(set(4.0 / 9), z), vr_fma(set(0.5), rho, curve));
    vr w     = vr_mul(vr_mul(set(t->factor), p.log_q), half(range));
    p.gg     = t->channels & SG_TOP_GG ? vr_mul(w, vr_mul(gg, a_gg)) : vr_zero();
    p.qq     = t->channels & SG_TOP_QQ ? vr_mul(w, vr_mul(qq, a_qq)) : vr_zero();
    return p;
}

static void density(size_t n, const sg_top_pair *t, const double *x, double *f)
{
    for (size_t i = 0; i < n; i += VL) {
        size_t lanes = n - i < VL ? n - i : VL;
        point  p     = density_at(t, vr_load_n(x + i, lanes), vr_load_n(x + n + i, lanes), vr_load_n(x + 2 * n + i, lanes));
        vr_store_n(f + i, vr_add(p.gg, p.qq), lanes);
        vr_store_n(f + n + i, p.gg, lanes);
        vr_store_n(f + 2 * n + i, p.qq, lanes);
    }
}

/* ------------------------------------------------------------------------------------------------ choice of points */

SG_INLINE vr coordinate(const sg_top_sampling *s, size_t dim, vr u, vr *jacobian)
{
    real place[VL], edge[VL], width[VL];
    vr   bins = set((double)s->n_bins), p = vr_mul(u, bins), low = vr_min(vr_floor(p), set((double)(s->n_bins - 1)));
    vr_store(place, low);
    for (int i = 0; i < VL; i++) {
        const double *bin = s->grid + 2 * (dim * s->n_bins + (size_t)(int64_t)place[i]);
        edge[i]           = bin[0];
        width[i]          = bin[1];
    }
    vr w      = vr_load(width);
    *jacobian = vr_mul(*jacobian, vr_mul(bins, w));
    return vr_fma(vr_sub(p, low), w, vr_load(edge));
}

typedef struct {
    real u0[BLOCK + VL], u1[BLOCK + VL], along[BLOCK + VL];
} chosen;

/* Attempts until each event has a point; events still open go on together. */
static size_t choose(size_t n, const sg_top_pair *t, const sg_top_sampling *s, uint64_t seed, const uint64_t *number, chosen *c,
                     double *weight, uint64_t *attempts)
{
    uint32_t open[BLOCK];
    size_t   n_open = n;
    for (size_t i = 0; i < n; i++)
        open[i] = (uint32_t)i;
    for (uint64_t k = 0; n_open && k < SG_TOP_PAIR_ATTEMPTS; k++) {
        size_t still = 0;
        *attempts += n_open;
        for (size_t j = 0; j < n_open; j += VL) {
            size_t   lanes = n_open - j < VL ? n_open - j : VL;
            uint64_t event[VL];
            for (size_t i = 0; i < VL; i++)
                event[i] = number[open[i < lanes ? j + i : j]];
            vr u[3], r, jacobian = set(1);
            sg_philox_lanes_at(seed, ATTEMPT_STREAM + 2 * k, event, &u[0], &u[1]);
            sg_philox_lanes_at(seed, ATTEMPT_STREAM + 2 * k + 1, event, &u[2], &r);
            for (size_t d = 0; d < 3; d++)
                u[d] = coordinate(s, d, u[d], &jacobian);
            point p = density_at(t, u[0], u[1], u[2]);
            vr    w = vr_mul(jacobian, vr_add(p.gg, p.qq)), accepted = set(1);
            if (s->w_max > 0) {
                vr size  = vr_mul(vr_abs(w), set(1 / s->w_max));
                accepted = vr_select(vr_lt(r, size), set(1), vr_zero());
                w        = vr_copysign(vr_max(size, set(1)), w);
            }
            real yes[VL], wl[VL], u0[VL], u1[VL], al[VL];
            vr_store(yes, accepted);
            vr_store(wl, w);
            vr_store(u0, u[0]);
            vr_store(u1, u[1]);
            vr_store(al, p.along);
            for (size_t i = 0; i < lanes; i++) {
                uint32_t e = open[j + i];
                if (yes[i] != 0) {
                    weight[e]   = wl[i];
                    c->u0[e]    = u0[i];
                    c->u1[e]    = u1[i];
                    c->along[e] = al[i];
                } else {
                    open[still++] = e;
                }
            }
        }
        n_open = still;
    }
    return n_open ? open[0] : n;
}

/* ---------------------------------------------------------------------------------------------------------- decays */

typedef struct {
    vr x, y, z;
} vec;

typedef struct {
    vr e, x, y, z, pt; /* pt = -1: absent */
} object;

SG_INLINE void draw_normal(uint64_t seed, uint64_t stream, const uint64_t *number, vr z[2])
{
    vr u, v;
    sg_philox_lanes_at(seed, stream, number, &u, &v);
    sg_normal_pair(u, v, &z[0], &z[1]);
}

SG_INLINE void draw_masses(const sg_law *law, uint64_t seed, uint64_t stream, const uint64_t *number, vr m[2])
{
    vr u, v;
    sg_philox_lanes_at(seed, stream, number, &u, &v);
    m[0] = sg_law_value(law, u, vr_zero());
    m[1] = sg_law_value(law, v, vr_zero());
}

/* Masses of both tops. Returns the lanes for which no pair below sqrt(s) was found. */
SG_INLINE vm top_masses(const sg_top_pair *t, uint64_t seed, const uint64_t *number, vr energy, vr m[2])
{
    vr most = vr_mul(energy, set(1 + 1e-9)); /* at threshold with tops of no width */
    draw_masses(&t->top, seed, MASS_STREAM, number, m);
    vm open = vr_le(vr_add(m[0], m[1]), most);
    for (uint64_t k = 1; vm_any(vm_not(open)) && k < SG_TOP_PAIR_MASSES; k++) {
        vr again[2];
        draw_masses(&t->top, seed, MASS_STREAM + k, number, again);
        vm now = vm_and(vr_le(vr_add(again[0], again[1]), most), vm_not(open));
        m[0]   = vr_select(now, again[0], m[0]);
        m[1]   = vr_select(now, again[1], m[1]);
        open   = vm_or(open, now);
    }
    return vm_not(open);
}

/* A particle of momentum p and energy e in the rest frame of mother (momentum P, energy E, mass m): its momentum where the mother moves. */
SG_INLINE vec boosted(vec P, vr E, vr m, vr e, vec p)
{
    vr b = vr_fma(P.x, p.x, vr_fma(P.y, p.y, vr_mul(P.z, p.z)));
    vr f = vr_div(vr_add(e, vr_div(b, vr_add(E, m))), m);
    return (vec){vr_fma(P.x, f, p.x), vr_fma(P.y, f, p.y), vr_fma(P.z, f, p.z)};
}

SG_INLINE object particle(vec p, double mass)
{
    vr t2 = vr_fma(p.x, p.x, square(p.y));
    return (object){vr_sqrt(vr_add(vr_fma(p.z, p.z, t2), set(mass * mass))), p.x, p.y, p.z, vr_sqrt(t2)};
}

/* (1 + cos) / 2 of the helicity angle. */
SG_INLINE vr helicity(uint64_t seed, uint64_t stream, const uint64_t *number, vr longitudinal)
{
    vr a, b, c, u;
    sg_philox_lanes_at(seed, stream, number, &a, &b);
    sg_philox_lanes_at(seed, stream + 1, number, &c, &u);
    vr low = vr_min(a, b), high = vr_max(a, b);
    return vr_select(vr_lt(u, longitudinal), vr_max(low, vr_min(high, c)), vr_min(low, c));
}

/* Decay of a top: b quark, charged lepton or down-type quark, neutrino or up-type quark. */
SG_INLINE void decay(const sg_top_pair *t, uint64_t seed, const uint64_t *number, int which, vec P, vr E, vr m, vr m_w, vr azimuth,
                     object out[3])
{
    vr u, v, sine, cosine, s_phi, c_phi;
    sg_philox_lanes_at(seed, SG_TOP_PAIR_STREAM + 2 + (uint64_t)which, number, &u, &v);
    vr per = vr_div(set(0.5), m), w2 = square(m_w), m2 = square(m);
    vr e_w = vr_mul(vr_add(vr_sub(m2, set(t->b_mass * t->b_mass)), w2), per);
    vr less = vr_sub(m, set(t->b_mass)), more = vr_add(m, set(t->b_mass));
    vr p_w = vr_mul(vr_sqrt(vr_mul(vr_sub(square(less), w2), vr_sub(square(more), w2))), per);
    vr c_w = vr_sub(twice(u), set(1)), s_w = twice(vr_sqrt(vr_mul(u, vr_sub(set(1), u))));
    vr_sincos_2pi(v, &sine, &cosine);
    vec n = {vr_mul(s_w, cosine), vr_mul(s_w, sine), c_w};
    vr  f = vr_div(m2, vr_add(m2, twice(w2)));
    vr  x = helicity(seed, SG_TOP_PAIR_STREAM + 4 + 2 * (uint64_t)which, number, f);
    vr  c = vr_sub(twice(x), set(1)), s = twice(vr_sqrt(vr_mul(x, vr_sub(set(1), x))));
    vr_sincos_2pi(azimuth, &s_phi, &c_phi);
    vr  along = half(vr_fma(e_w, c, p_w)), across = half(vr_mul(m_w, s)), e_a = half(vr_fma(p_w, c, e_w));
    vr  one = vr_mul(across, c_phi), two = vr_mul(across, s_phi), flat = vr_fma(one, c_w, vr_mul(along, s_w));
    vec a = {vr_fnma(two, sine, vr_mul(flat, cosine)), vr_fma(two, cosine, vr_mul(flat, sine)),
             vr_fnma(one, s_w, vr_mul(along, c_w))};
    vec w = {vr_mul(p_w, n.x), vr_mul(p_w, n.y), vr_mul(p_w, n.z)};
    vec b = {vr_sub(w.x, a.x), vr_sub(w.y, a.y), vr_sub(w.z, a.z)};
    out[0] = particle(boosted(P, E, m, vr_sub(m, e_w), (vec){vr_neg(w.x), vr_neg(w.y), vr_neg(w.z)}), t->b_mass);
    out[1] = particle(boosted(P, E, m, e_a, a), 0);
    out[2] = particle(boosted(P, E, m, vr_sub(e_w, e_a), b), 0);
}

SG_INLINE void order(object *a, object *b)
{
    vm swap = vr_lt(a->pt, b->pt);
    object p = *a, q = *b;
#define X(m)                            \
    a->m = vr_select(swap, q.m, p.m);   \
    b->m = vr_select(swap, p.m, q.m);
    X(e) X(x) X(y) X(z) X(pt)
#undef X
}

SG_INLINE object present_if(vm there, object o)
{
    vr zero = vr_zero();
    return (object){vr_select(there, o.e, zero), vr_select(there, o.x, zero), vr_select(there, o.y, zero),
                    vr_select(there, o.z, zero), vr_select(there, o.pt, set(-1))};
}

/* E, pT, eta, phi */
SG_INLINE void columns_of(object o, vr column[4])
{
    vm there  = vr_le(vr_zero(), o.pt);
    vr z      = vr_abs(o.z), pt = vr_max(o.pt, set(LEAST_PT));
    vr eta    = vr_log(vr_div(vr_add(vr_sqrt(vr_fma(o.z, o.z, square(pt))), z), pt));
    column[0] = o.e;
    column[1] = vr_select(there, o.pt, vr_zero());
    column[2] = vr_select(there, vr_copysign(eta, o.z), vr_zero());
    column[3] = vr_select(there, vr_atan2(o.y, o.x), vr_zero());
}

static size_t first_lane(vm lanes)
{
    real   lane[VL];
    size_t i = 0;
    vr_store(lane, vr_select(lanes, set(1), vr_zero()));
    while (i < VL && lane[i] == 0)
        i++;
    return i;
}

/* One vector of events from their points. Returns the lanes without an open pair of masses. */
SG_INLINE vm event(const sg_top_pair *t, uint64_t seed, const uint64_t *number, vr u0, vr u1, vr along, vr column[26])
{
    vr q = q_of(t, u0), log_q = vr_log(q), energy = vr_div(set(t->energy), vr_sqrt(q)), m[2], m_w[2], u, v, w, unused;
    vm closed = top_masses(t, seed, number, energy, m);
    draw_masses(&t->w, seed, SG_TOP_PAIR_STREAM + 9, number, m_w);

    /* the pair in its rest frame, then along the beam */
    vr sum = vr_add(m[0], m[1]), difference = vr_sub(m[0], m[1]), s = square(energy);
    vr p2 = vr_div(vr_mul(vr_max(vr_sub(s, square(sum)), vr_zero()), vr_sub(s, square(difference))), vr_mul(set(4), s));
    vr p = vr_sqrt(p2), beta = vr_max(beta_of(t, u0), set(1e-150));
    vr c = vr_max(vr_min(vr_div(along, beta), set(1)), set(-1)), side = vr_mul(p, vr_sqrt(vr_fnma(c, c, set(1))));
    vr sine, cosine;
    sg_philox_lanes_at(seed, SG_TOP_PAIR_STREAM, number, &u, &v);
    sg_philox_lanes_at(seed, SG_TOP_PAIR_STREAM + 1, number, &w, &unused);
    vr_sincos_2pi(u, &sine, &cosine);
    vr e_y = vr_exp(vr_mul(vr_sub(u1, set(0.5)), log_q)), e_minus = vr_div(set(1), e_y);
    vr ch = half(vr_add(e_y, e_minus)), sh = half(vr_sub(e_y, e_minus)), pz = vr_mul(p, c);
    vr azimuth[2];
    sg_philox_lanes_at(seed, SG_TOP_PAIR_STREAM + 8, number, &azimuth[0], &azimuth[1]);
    object product[2][3];
    vm     leptonic[2];
    for (int k = 0; k < 2; k++) {
        vr  sign = set(k ? -1 : 1), rest = vr_sqrt(vr_add(p2, square(m[k]))), z = vr_mul(sign, pz), x = vr_mul(sign, side);
        vec P    = {vr_mul(x, cosine), vr_mul(x, sine), vr_fma(ch, z, vr_mul(sh, rest))};
        decay(t, seed, number, k, P, vr_fma(ch, rest, vr_mul(sh, z)), m[k], m_w[k], azimuth[k], product[k]);
    }
    vm all = vr_le(vr_zero(), u), none = vm_not(all);
    switch (t->decays) {
    case SG_TOP_DILEPTONIC: leptonic[0] = leptonic[1] = all; break;
    case SG_TOP_HADRONIC: leptonic[0] = leptonic[1] = none; break;
    case SG_TOP_INCLUSIVE:
        leptonic[0] = vr_lt(v, set(t->leptonic));
        leptonic[1] = vr_lt(w, set(t->leptonic));
        break;
    case SG_TOP_SEMILEPTONIC:
    default:
        leptonic[0] = vr_lt(v, set(0.5));
        leptonic[1] = vm_not(leptonic[0]);
    }

    /* missing momentum: the neutrinos, what smearing added to the rest, and its own noise */
    vr met_x = vr_zero(), met_y = vr_zero(), z[3][2];
    if (t->smear) {
        for (uint64_t k = 0; k < 3; k++)
            draw_normal(seed, SG_TOP_PAIR_STREAM + 10 + k, number, z[k]);
        vr noise[2];
        draw_normal(seed, SG_TOP_PAIR_STREAM + 13, number, noise);
        met_x = vr_mul(noise[0], set(t->met_resolution));
        met_y = vr_mul(noise[1], set(t->met_resolution));
    }
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < 3; j++) {
            object *o        = &product[k][j];
            vm      neutrino = j == 2 ? leptonic[k] : none;
            vr      gain     = vr_zero();
            if (t->smear) {
                vr normal = j == 0 ? z[0][k] : z[1 + k][j - 1];
                vr sigma  = vr_sqrt(vr_add(vr_div(set(t->jet_stochastic * t->jet_stochastic), o->e),
                                           set(t->jet_constant * t->jet_constant)));
                if (j == 1)
                    sigma = vr_select(leptonic[k], set(t->lepton_resolution), sigma);
                gain = vr_max(vr_mul(sigma, normal), set(LEAST_SCALE - 1));
            }
            vr into = vr_select(neutrino, set(1), vr_neg(gain)), scale = vr_add(set(1), gain);
            met_x   = vr_fma(into, o->x, met_x);
            met_y   = vr_fma(into, o->y, met_y);
            *o      = (object){vr_mul(o->e, scale), vr_mul(o->x, scale), vr_mul(o->y, scale), vr_mul(o->z, scale), vr_mul(o->pt, scale)};
        }
    object jet[6] = {product[0][0], product[1][0]}, lepton[2];
    for (int k = 0; k < 2; k++) {
        jet[2 + 2 * k] = present_if(vm_not(leptonic[k]), product[k][1]);
        jet[3 + 2 * k] = present_if(vm_not(leptonic[k]), product[k][2]);
        lepton[k]      = present_if(leptonic[k], product[k][1]);
    }
    static const unsigned char network[12][2] = {{0, 5}, {1, 3}, {2, 4}, {1, 2}, {3, 4}, {0, 3},
                                                 {2, 5}, {0, 1}, {2, 3}, {4, 5}, {1, 2}, {3, 4}}; /* sorts six */
    for (int k = 0; k < 12; k++)
        order(&jet[network[k][0]], &jet[network[k][1]]);
    order(&lepton[0], &lepton[1]);
    column[0] = vr_sqrt(vr_fma(met_x, met_x, square(met_y)));
    column[1] = vr_atan2(met_y, met_x);
    for (int k = 0; k < 6; k++)
        columns_of(k < 4 ? jet[k] : lepton[k - 4], column + 2 + 4 * k);
    return closed;
}

static size_t events(size_t n, size_t stride, const sg_top_pair *t, const sg_top_sampling *s, uint64_t seed, const uint64_t *number,
                     double *out, double *weight, uint64_t *attempts)
{
    chosen c;
    size_t done = choose(n, t, s, seed, number, &c, weight, attempts);
    if (done < n || !out)
        return done;
    for (size_t i = 0; i < n; i += VL) {
        size_t   lanes = n - i < VL ? n - i : VL;
        uint64_t of[VL];
        for (size_t k = 0; k < VL; k++)
            of[k] = number[k < lanes ? i + k : i];
        for (size_t k = lanes; k < VL; k++) { /* lanes beyond the end repeat an event */
            c.u0[i + k]    = c.u0[i];
            c.u1[i + k]    = c.u1[i];
            c.along[i + k] = c.along[i];
        }
        vr column[26];
        vm closed = event(t, seed, of, vr_load(c.u0 + i), vr_load(c.u1 + i), vr_load(c.along + i), column);
        if (vm_any(closed))
            return i + first_lane(closed) % lanes;
        for (size_t k = 0; k < 26; k++) {
            if (lanes == VL)
                vr_store(out + k * stride + i, column[k]);
            else
                vr_store_n(out + k * stride + i, column[k], lanes);
        }
    }
    return n;
}

const sg_top_pair_f64 SG_HOT(sg_events_top_pair) = {
    .density = density,
    .events  = events,
};

#endif
