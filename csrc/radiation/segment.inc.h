/* SPDX-License-Identifier: BSD-3-Clause */
/* One segment of the spectrum for all cells, included by gas_optics.hot.c with LANES 16 and 8; defines longwave_LANES
 * and shortwave_LANES. Optical depth is a sum of table rows of LANES g-points, each times a weight of the cell.
 * Pincus, Mlawer & Delamere 2019, eq. 9-12. */

#define JOIN_(a, b, c)    a##b##c
#define JOIN(a, b, c)     JOIN_(a, b, c)
#define lanes             JOIN(l, LANES, )
#define zero              JOIN(l, LANES, _zero)
#define load              JOIN(l, LANES, _load)
#define store             JOIN(l, LANES, _store)
#define add               JOIN(l, LANES, _add)
#define scale             JOIN(l, LANES, _scale)
#define add_scaled        JOIN(l, LANES, _add_scaled)
#define bilinear          JOIN(bilinear_, LANES, )
#define trilinear         JOIN(trilinear_, LANES, )
#define minor_gases       JOIN(minor_gases_, LANES, )

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

SG_INLINE lanes minor_gases(const cell_weights *w, size_t c, const real *k, size_t n_row, size_t n_minor,
                            const real (*amount)[CELLS])
{
    size_t      next_eta = n_row * LANES;
    const real *k0 = k + (size_t)w->at_minor[0][c] * next_eta, *k1 = k + (size_t)w->at_minor[1][c] * next_eta;
    lanes       tau = zero();
    for (size_t i = 0; i < n_minor; i++, k0 += LANES, k1 += LANES)
        tau = add_scaled(amount[i][c], bilinear(w, c, k0, k1, next_eta), tau);
    return tau;
}

/* A row of the major table: k of LANES g-points, then their Planck fractions. */
static void JOIN(longwave_, LANES, )(const cell_weights *w, size_t n, const int32_t *list, const real *major,
                                     const real *minor, size_t n_eta, size_t n_minor, const real (*amount)[CELLS],
                                     size_t g_stride, real *restrict tau, real *restrict planck_fraction)
{
    size_t next_eta = 2 * LANES, next_p = n_eta * next_eta;
    for (size_t j = 0; j < n; j++) {
        size_t      c = (size_t)list[j];
        const real *k0 = major + (size_t)w->at_major[0][c] * next_eta,
                   *k1 = major + (size_t)w->at_major[1][c] * next_eta;
        lanes       t0 = trilinear(w, c, 0, k0, next_p, next_eta), t1 = trilinear(w, c, 1, k1, next_p, next_eta);
        lanes       f0 = trilinear(w, c, 0, k0 + LANES, next_p, next_eta);
        lanes       f1 = trilinear(w, c, 1, k1 + LANES, next_p, next_eta);
        lanes       sum = minor_gases(w, c, minor, n_minor, n_minor, amount);
        store(planck_fraction + c * g_stride, add(f0, f1));
        store(tau + c * g_stride, add_scaled(w->mix[1][c], t1, add_scaled(w->mix[0][c], t0, sum)));
    }
}

/* The last row of the minor table is Rayleigh scattering. */
static void JOIN(shortwave_, LANES, )(const cell_weights *w, size_t n, const int32_t *list, const real *major,
                                      const real *minor, size_t n_eta, size_t n_minor, const real (*amount)[CELLS],
                                      const real *col_air, size_t g_stride, real *restrict tau,
                                      real *restrict tau_rayleigh)
{
    size_t next_eta = LANES, next_p = n_eta * next_eta, n_row = n_minor + 1;
    for (size_t j = 0; j < n; j++) {
        size_t      c = (size_t)list[j];
        const real *k0 = major + (size_t)w->at_major[0][c] * next_eta,
                   *k1 = major + (size_t)w->at_major[1][c] * next_eta;
        lanes       t0 = trilinear(w, c, 0, k0, next_p, next_eta), t1 = trilinear(w, c, 1, k1, next_p, next_eta);
        const real *r0 = minor + ((size_t)w->at_minor[0][c] * n_row + n_minor) * LANES;
        const real *r1 = minor + ((size_t)w->at_minor[1][c] * n_row + n_minor) * LANES;
        lanes       rayleigh = bilinear(w, c, r0, r1, n_row * LANES);
        lanes       sum      = minor_gases(w, c, minor, n_row, n_minor, amount);
        store(tau_rayleigh + c * g_stride, scale(col_air[c], rayleigh));
        store(tau + c * g_stride, add_scaled(w->mix[1][c], t1, add_scaled(w->mix[0][c], t0, sum)));
    }
}

#undef JOIN_
#undef JOIN
#undef lanes
#undef zero
#undef load
#undef store
#undef add
#undef scale
#undef add_scaled
#undef bilinear
#undef trilinear
#undef minor_gases
