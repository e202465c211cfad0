/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/dilepton.h"

#include "events/columns.h"
#include "events/draw.h"
#include "events/inverse_draw.h"

/* Which tables of radiation stand for the energy of each lane: one of the two neighbours, drawn so that their mean follows the energy. */
SG_INLINE vi table_of(vr root, size_t n_rows, double first, double step, vr u)
{
    vr place = vr_sub(vr_mul(root, vr_set1(R(1 / step))), vr_set1(R(first)));
    vr row   = vr_floor(vr_add(place, u));
    row      = vr_min(vr_max(row, vr_zero()), vr_set1((real)(n_rows - 1)));
    return vr_to_int(vr_mul(row, vr_set1(R(SG_RADIATION_ROW))));
}

/* What radiation leaves of the momenta of both beams. Collinear photons multiply: (1 - x) = z[0] z[1]. Of -ln(1 - x) one beam takes the
 * share r, of density (r (1 - r))^(beta/2 - 1): two soft radiators of beta/2 each. */
SG_INLINE void radiate(const real *rows, vi at, vr least /* of 1 - x */, uint64_t seed, uint64_t event, vr z[2])
{
    vr u, v, half = vr_set1(R(0.5)), one = vr_set1(1);
    sg_philox_lanes(seed, SG_DILEPTON_STREAM + 3, event, &u, &v);
    vr log_x = sg_inverse_draw(rows, at, SG_RADIATION_INTERVALS, 1, u, v);
    vr x     = vr_exp(log_x);
    vr loss  = vr_neg(vr_log1p(vr_neg(vr_min(x, half)))); /* -ln(1 - x) */
    vm hard  = vr_lt(half, x);
    if (vm_any(hard)) {
        vr rest = vr_max(vr_neg(vr_expm1(log_x)), least);
        loss    = vr_select(hard, vr_neg(vr_log(rest)), loss);
    }
    sg_philox_lanes(seed, SG_DILEPTON_STREAM + 4, event, &u, &v);
    u         = vr_add(u, u);
    vm second = vr_le(one, u);
    u         = vr_sub(u, vr_select(second, one, vr_zero()));
    vr share  = vr_exp(sg_inverse_draw(rows + SG_RADIATION_SHARE, at, SG_SHARE_INTERVALS, 1, u, v));
    vr minor  = vr_mul(share, loss);
    vr small  = vr_exp(vr_neg(minor)), large = vr_exp(vr_sub(minor, loss));
    z[0]      = vr_select(second, large, small);
    z[1]      = vr_select(second, small, large);
}

SG_INLINE void run(size_t n, size_t stride, const sg_dilepton *process, uint64_t seed, uint64_t first, int stream, const real *energy,
                   const real *spread, size_t n_rows, const real *rows, double row_first, double row_step, real *out, int radiates,
                   int varies)
{
    const double v2 = (2 * process->sin2 - 0.5) * (2 * process->sin2 - 0.5), a2 = 0.25, kappa = process->kappa;
    const vr     one = vr_set1(1), two = vr_set1(2), zero = vr_zero(), half = vr_set1(R(0.5));
    const vr     m2 = vr_set1(R(process->mass * process->mass)), width = vr_set1(R(process->width * process->mass));
    const vr     slope = vr_set1(R(process->width / process->mass));
    const vr     real_1 = vr_set1(R(2 * v2 * kappa)), square_1 = vr_set1(R((v2 + a2) * (v2 + a2) * kappa * kappa));
    const vr     real_3 = vr_set1(R(2 * a2 * kappa)), square_3 = vr_set1(R(4 * v2 * a2 * kappa * kappa));
    const vr     lepton[2] = {vr_set1(R(4 * process->lepton[0] * process->lepton[0])),
                              vr_set1(R(4 * process->lepton[1] * process->lepton[1]))};
    const vr     relative  = vr_set1(R(process->spread / process->energy));
    const vm     muons     = vr_lt(zero, process->flavours == 2 ? one : zero);
    sg_columns   to        = sg_columns_of(SG_LEPTON_PAIR_COLUMNS, stride, n, stream, out);
    vr           root      = vr_set1(R(process->energy));
    for (size_t i = 0, lanes; i < n; i += lanes) {
        lanes          = sg_columns_lanes(&to, i, n);
        uint64_t event = first + i;
        vr       u, v, w, choice, azimuth, row, z[2] = {one, one};
        sg_philox_lanes(seed, SG_DILEPTON_STREAM + 2, event, &azimuth, &row);

        /* energy of the collision, then what radiation leaves of it */
        if (energy) {
            root = vr_load_n(energy + i, lanes);
            root = vr_select(vm_first(lanes), root, vr_set1(R(process->energy)));
        } else if (varies) {
            sg_philox_lanes(seed, SG_DILEPTON_STREAM + 5, event, &u, &v);
            root = vr_add(vr_set1(R(process->energy)), sg_inverse_draw(spread, vr_to_int(zero), SG_SPREAD_INTERVALS, 0, u, v));
        }
        vr s = vr_mul(root, root), square = s;
        if (radiates) {
            vi at    = n_rows > 1 ? table_of(root, n_rows, row_first, row_step, row) : vr_to_int(zero);
            vr least = vr_div(vr_set1(R(process->least * process->least)), s);
            radiate(rows, at, least, seed, event, z);
            square = vr_mul(s, vr_mul(z[0], z[1]));
        }

        /* G3 / G1 at the mass of the pair, all times the denominator of chi */
        vr off = vr_sub(square, m2), damp = process->running ? vr_mul(square, slope) : width;
        vr norm = vr_fma(off, off, vr_mul(damp, damp)), real_part = vr_mul(square, off), size = vr_mul(square, square);
        vr g1 = vr_fma(square_1, size, vr_fma(real_1, real_part, norm));
        vr g3 = vr_fma(square_3, size, vr_mul(real_3, real_part));

        /* |cos|: flat with probability 3/4, else the largest of three; then its sign */
        sg_philox_lanes(seed, SG_DILEPTON_STREAM, event, &u, &v);
        sg_philox_lanes(seed, SG_DILEPTON_STREAM + 1, event, &w, &choice);
        vm flat   = vr_lt(choice, vr_set1(R(0.75)));
        vr cosine = vr_select(flat, u, vr_max(u, vr_max(v, w)));
        choice    = vr_select(flat, vr_mul(choice, vr_set1(R(4. / 3))), vr_fma(choice, vr_set1(4), vr_set1(-3)));
        /* forward if 2 choice - 1 < 2 (G3 / G1) |c| / (1 + c^2) */
        vr even  = vr_mul(vr_fma(cosine, cosine, one), g1), odd = vr_mul(vr_mul(two, cosine), g3);
        vm ahead = vr_lt(vr_mul(vr_fma(two, choice, vr_neg(one)), even), odd);
        vr sine  = vr_sqrt(vr_mul(vr_sub(one, cosine), vr_add(one, cosine)));
        cosine   = vr_select(ahead, cosine, vr_neg(cosine));

        /* flavour and azimuth */
        vm muon = muons;
        if (process->flavours == 3) {
            azimuth = vr_add(azimuth, azimuth);
            muon    = vr_le(one, azimuth);
            azimuth = vr_sub(azimuth, vr_select(muon, one, zero));
        }
        vr sin_phi, cos_phi;
        vr_sincos_turn(vr_sub(azimuth, half), &sin_phi, &cos_phi);

        /* Momenta along the light cone: (E +- pz) of a lepton are z (1 +- speed cos) sqrt(s) / 2. */
        vr speed = vr_sqrt(vr_max(vr_sub(one, vr_div(vr_select(muon, lepton[1], lepton[0]), square)), zero));
        vr side  = vr_mul(vr_mul(half, vr_sqrt(square)), vr_mul(speed, sine));
        vr along = vr_mul(speed, cosine);
        if (varies && !energy) {
            vr normal, unused;
            sg_normal_lanes(seed, SG_DILEPTON_STREAM + 6, event, &normal, &unused);
            vr rapidity = vr_mul(relative, normal);
            z[0]        = vr_mul(z[0], vr_exp(rapidity));
            z[1]        = vr_mul(z[1], vr_exp(vr_neg(rapidity)));
        }
        vr quarter = vr_mul(vr_set1(R(0.25)), root), sum = vr_add(z[0], z[1]), difference = vr_sub(z[0], z[1]);
        vr forth = vr_mul(along, difference), pull = vr_mul(along, sum), px = vr_mul(side, cos_phi), py = vr_mul(side, sin_phi);
        const vr pair[8] = {vr_mul(quarter, vr_add(sum, forth)), px, py, vr_mul(quarter, vr_add(difference, pull)),
                            vr_mul(quarter, vr_sub(sum, forth)), vr_neg(px), vr_neg(py), vr_mul(quarter, vr_sub(difference, pull))};
        vr column[SG_LEPTON_PAIR_COLUMNS];
        for (int k = 0; k < 8; k++) {
            column[k]     = vr_select(muon, zero, pair[k]);
            column[k + 8] = vr_select(muon, pair[k], zero);
        }
        sg_columns_put(&to, i, lanes, column);
    }
    sg_columns_end(&to, n);
}

static void pairs(size_t n, size_t stride, const sg_dilepton *process, uint64_t seed, uint64_t first, int stream, const real *energy,
                  const real *spread, size_t n_rows, const real *rows, double row_first, double row_step, real *out)
{
#define RUN(radiates, varies) \
    run(n, stride, process, seed, first, stream, energy, spread, n_rows, rows, row_first, row_step, out, radiates, varies)
    if (rows && (energy || spread))
        RUN(1, 1);
    else if (rows)
        RUN(1, 0);
    else if (energy || spread)
        RUN(0, 1);
    else
        RUN(0, 0);
}

#if SG_REAL_IS_FLOAT
const sg_dilepton_f32 SG_HOT(sg_events_dilepton) = {
#else
const sg_dilepton_f64 SG_HOT(sg_events_dilepton) = {
#endif
    .pairs = pairs,
};
