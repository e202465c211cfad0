/* SPDX-License-Identifier: BSD-3-Clause */
/* One segment of one cell, included by gas_optics.hot.c for 16 and for 8 g-points with
 *   lanes  zero  load  store  add  scale  add_scaled      of lanes.h
 *   bilinear  trilinear  minor_gases  longwave_segment  shortwave_segment      the names to define
 * Optical depth is a sum of table rows, each times a weight of the cell. Pincus, Mlawer & Delamere 2019, eq. 9-12. */

/* sum over T, eta of weight(T, eta) k(T, eta): one minor gas, or Rayleigh scattering */
SG_INLINE lanes bilinear(const cell_weights *w, size_t c, const real *k0, const real *k1, size_t next_eta)
{
    lanes sum = scale(w->minor[0][0][c], load(k0));
    sum       = add_scaled(w->minor[0][1][c], load(k0 + next_eta), sum);
    sum       = add_scaled(w->minor[1][0][c], load(k1), sum);
    return add_scaled(w->minor[1][1][c], load(k1 + next_eta), sum);
}

/* sum over p, eta of weight(p, eta) k(p, eta) at one reference temperature it */
SG_INLINE lanes trilinear(const cell_weights *w, size_t c, int it, const real *k, size_t next_p, size_t next_eta)
{
    lanes sum = scale(w->major[it][0][0][c], load(k));
    sum       = add_scaled(w->major[it][0][1][c], load(k + next_eta), sum);
    sum       = add_scaled(w->major[it][1][0][c], load(k + next_p), sum);
    return add_scaled(w->major[it][1][1][c], load(k + next_p + next_eta), sum);
}

SG_INLINE lanes minor_gases(const cell_weights *w, size_t c, const real *k, size_t n_lane, size_t n_row, size_t n_minor,
                            const real (*amount)[CELLS])
{
    size_t      next_eta = n_row * n_lane;
    const real *k0 = k + (size_t)w->at_minor[0][c] * next_eta, *k1 = k + (size_t)w->at_minor[1][c] * next_eta;
    lanes       tau = zero();
    for (size_t i = 0; i < n_minor; i++, k0 += n_lane, k1 += n_lane)
        tau = add_scaled(amount[i][c], bilinear(w, c, k0, k1, next_eta), tau);
    return tau;
}

SG_INLINE void longwave_segment(const cell_weights *w, size_t c, size_t n_lane, const real *major, const real *minor,
                                size_t n_eta, size_t n_minor, const real (*amount)[CELLS], real *tau, real *planck_fraction)
{
    size_t      next_eta = 2 * n_lane, next_p = n_eta * next_eta;
    const real *k0 = major + (size_t)w->at_major[0][c] * next_eta, *k1 = major + (size_t)w->at_major[1][c] * next_eta;
    lanes       t0 = trilinear(w, c, 0, k0, next_p, next_eta), t1 = trilinear(w, c, 1, k1, next_p, next_eta);
    lanes       f0 = trilinear(w, c, 0, k0 + n_lane, next_p, next_eta), f1 = trilinear(w, c, 1, k1 + n_lane, next_p, next_eta);
    lanes       sum = minor_gases(w, c, minor, n_lane, n_minor, n_minor, amount);
    store(planck_fraction, add(f0, f1));
    store(tau, add_scaled(w->mix[1][c], t1, add_scaled(w->mix[0][c], t0, sum)));
}

SG_INLINE void shortwave_segment(const cell_weights *w, size_t c, size_t n_lane, const real *major, const real *minor,
                                 size_t n_eta, size_t n_minor, const real (*amount)[CELLS], real col_air, real *tau,
                                 real *tau_rayleigh)
{
    size_t      next_eta = n_lane, next_p = n_eta * next_eta, n_row = n_minor + 1;
    const real *k0 = major + (size_t)w->at_major[0][c] * next_eta, *k1 = major + (size_t)w->at_major[1][c] * next_eta;
    lanes       t0 = trilinear(w, c, 0, k0, next_p, next_eta), t1 = trilinear(w, c, 1, k1, next_p, next_eta);
    const real *r0 = minor + ((size_t)w->at_minor[0][c] * n_row + n_minor) * n_lane;
    const real *r1 = minor + ((size_t)w->at_minor[1][c] * n_row + n_minor) * n_lane;
    lanes       rayleigh = bilinear(w, c, r0, r1, n_row * n_lane);
    lanes       sum      = minor_gases(w, c, minor, n_lane, n_row, n_minor, amount);
    store(tau_rayleigh, scale(col_air, rayleigh));
    store(tau, add_scaled(w->mix[1][c], t1, add_scaled(w->mix[0][c], t0, sum)));
}
