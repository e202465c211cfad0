/* SPDX-License-Identifier: BSD-3-Clause */
/* Radiative transfer in one column, a vector of g-points at a time, top layer first.
 *
 * Broadband fluxes are sums over g-points. To have the same bits on every instruction set they are kept in 16 partial
 * sums, g-point g in sum g mod 16 in ascending order, and these are added pairwise at the end. */
#include "radiation/kernels.h"

#include "base/simd.h"
#include "base/vmath.h"

#if SG_REAL_IS_FLOAT
#define SG_TYPED(n)  n##_f32
#define REAL_TINY    R(1.17549435e-38)
#define REAL_EPSILON R(1.1920929e-07)
#define SMALL_PATH   R(0.018581361)  /* fourth root of the epsilon */
#else
#define SG_TYPED(n)  n##_f64
#define REAL_TINY    R(2.2250738585072014e-308)
#define REAL_EPSILON R(2.2204460492503131e-16)
#define SMALL_PATH   R(0.00012207031250000000)
#endif

#define PI R(3.14159265358979323846)

enum { SUMS = 16, FLUXES = 3, ARRAYS = 8 }; /* arrays over levels: partial sums of fluxes; the most a solver keeps */

typedef SG_TYPED(sg_lw_column) lw_column;
typedef SG_TYPED(sg_sw_column) sw_column;

static size_t scratch_bytes(size_t n_lay)
{
    return (n_lay + 1) * (FLUXES * SUMS + ARRAYS * VL) * sizeof(real);
}

SG_INLINE vr   load(const real *p, size_t n) { return n == VL ? vr_load(p) : vr_load_n(p, n); }
SG_INLINE void store(real *p, vr a, size_t n)
{
    if (n == VL)
        vr_store(p, a);
    else
        vr_store_n(p, a, n);
}
SG_INLINE void accumulate(real *sum, vr a) { vr_store(sum, vr_add(vr_load(sum), a)); }

/* flux[level] = the sum of the level's 16 partial sums, in a fixed order */
static void add_up(size_t n_lev, const real *sums /* (n_lev, SUMS) */, real *flux, ptrdiff_t stride)
{
    for (size_t l = 0; flux && l < n_lev; l++) {
        real s[SUMS];
        memcpy(s, sums + l * SUMS, sizeof s);
        for (size_t half = SUMS / 2; half; half /= 2)
            for (size_t i = 0; i < half; i++)
                s[i] += s[i + half];
        flux[(ptrdiff_t)l * stride] = s[0];
    }
}

/* ------------------------------------------------------------------------------------------------------- longwave */

/* Planck radiance of the bands of g-points g .. at one temperature */
SG_INLINE vr planck(const lw_column *c, SG_TYPED(sg_planck_point) at, size_t g, size_t n)
{
    const real *below = c->planck + at.row + g;
    vr          low = load(below, n), high = load(below + c->planck_row, n);
    return vr_fma(vr_set1(at.weight), vr_sub(high, low), low);
}

/* Sources of g-points g .. g+n-1: layer, level, surface and its derivative. A level between two layers has the
 * geometric mean of their Planck fractions. */
SG_INLINE void make_sources(const lw_column *c, size_t g, size_t n, real *lay, ptrdiff_t lay_stride, real *lev,
                            ptrdiff_t lev_stride, vr *surface, vr *surface_jacobian)
{
    vr above = load(c->fraction + g, n);
    if (lev)
        store(lev, vr_mul(above, planck(c, c->lev_point[0], g, n)), n);
    for (size_t l = 0; l < c->n_lay; l++) {
        vr here = load(c->fraction + (ptrdiff_t)l * c->fraction_stride + g, n);
        if (lay)
            store(lay + (ptrdiff_t)l * lay_stride, vr_mul(here, planck(c, c->lay_point[l], g, n)), n);
        if (lev && l)
            store(lev + (ptrdiff_t)l * lev_stride,
                  vr_mul(vr_sqrt(vr_mul(above, here)), planck(c, c->lev_point[l], g, n)), n);
        above = here;
    }
    if (lev)
        store(lev + (ptrdiff_t)c->n_lay * lev_stride, vr_mul(above, planck(c, c->lev_point[c->n_lay], g, n)), n);
    if (c->sfc_point) {
        vr at_surface     = planck(c, c->sfc_point[0], g, n);
        *surface          = vr_mul(above, at_surface);
        *surface_jacobian = vr_mul(above, vr_sub(planck(c, c->sfc_point[1], g, n), at_surface));
    }
}

/* Transmission of a layer along the path and the radiance it adds at its lower and upper edge, with the Planck
 * function linear in optical depth from an edge to the layer: Clough et al. 1992, doi:10.1029/92JD01419, eq. 13-15. */
SG_INLINE void layer_emission(vr tau, vr secant, vr lay, vr lev_above, vr lev_below, vr *transmission, vr *down, vr *up)
{
    const vr one = vr_set1(1);
    vr t = vr_mul(secant, tau), through = vr_exp(vr_neg(t)), absorbed = vr_sub(one, through);
    vr thick  = vr_sub(vr_div(absorbed, t), through);
    vr thin   = vr_mul(t, vr_fma(t, vr_fma(t, vr_set1(R(0.125)), vr_set1(R(-1.0 / 3))), vr_set1(R(0.5))));
    vr factor = vr_select(vr_lt(vr_set1(SMALL_PATH), t), thick, thin);
    factor    = vr_add(factor, factor);
    *transmission = through;
    *down         = vr_fma(factor, vr_sub(lay, lev_below), vr_mul(absorbed, lev_below));
    *up           = vr_fma(factor, vr_sub(lay, lev_above), vr_mul(absorbed, lev_above));
}

/* One flux at one level: into the partial sums, and by g-point when wanted (added to the angles before). */
SG_INLINE void put_flux(real *sums, real *by_g, vr flux, int first, size_t n)
{
    accumulate(sums, flux);
    if (by_g)
        store(by_g, first ? flux : vr_add(load(by_g, n), flux), n);
}

static void longwave(const lw_column *c, void *scratch)
{
    size_t n_lay = c->n_lay, n_lev = n_lay + 1;
    real  *sum_up = scratch, *sum_down = sum_up + n_lev * SUMS, *sum_jacobian = sum_down + n_lev * SUMS;
    real  *lay_made = sum_jacobian + n_lev * SUMS, *lev_made = lay_made + n_lev * VL, *through = lev_made + n_lev * VL;
    real  *emitted_up = through + n_lev * VL;
    int    jacobian   = c->up_jacobian != NULL;
    memset(scratch, 0, n_lev * FLUXES * SUMS * sizeof(real));

    for (size_t g = 0; g < c->n_g; g += VL) {
        size_t      n = c->n_g - g < VL ? c->n_g - g : VL, part = g % SUMS;
        const real *lay = lay_made, *lev = lev_made;
        ptrdiff_t   lay_stride = VL, lev_stride = VL;
        vr          surface = vr_zero(), surface_jacobian = vr_zero();
        if (c->fraction) {
            make_sources(c, g, n, lay_made, VL, lev_made, VL, &surface, &surface_jacobian);
        } else {
            lay        = c->lay_source + g;
            lev        = c->lev_source + g;
            lay_stride = c->lay_stride;
            lev_stride = c->lev_stride;
            surface    = load(c->sfc_source + g, n);
            if (c->sfc_jacobian)
                surface_jacobian = load(c->sfc_jacobian + g, n);
        }
        real *up_g = c->up_g ? c->up_g + g : NULL, *down_g = c->down_g ? c->down_g + g : NULL;
        for (int angle = 0; angle < c->n_angle; angle++) {
            const vr secant = vr_set1(c->secant[angle]), per_radiance = vr_set1(PI * c->weight[angle]);
            const int first = angle == 0;
            vr radiance = vr_zero();
            if (c->down_toa)
                radiance = vr_div(load(c->down_toa + g, n), vr_set1(PI));
            put_flux(sum_down + part, down_g, vr_mul(per_radiance, radiance), first, n);
            for (size_t l = 0; l < n_lay; l++) {
                vr transmission, down, up;
                layer_emission(load(c->tau + (ptrdiff_t)l * c->tau_stride + g, n), secant,
                               load(lay + (ptrdiff_t)l * lay_stride, n), load(lev + (ptrdiff_t)l * lev_stride, n),
                               load(lev + (ptrdiff_t)(l + 1) * lev_stride, n), &transmission, &down, &up);
                vr_store(through + l * VL, transmission);
                vr_store(emitted_up + l * VL, up);
                radiance = vr_fma(transmission, radiance, down);
                put_flux(sum_down + (l + 1) * SUMS + part,
                         down_g ? down_g + (ptrdiff_t)(l + 1) * c->flux_g_stride : NULL, vr_mul(per_radiance, radiance),
                         first, n);
            }
            /* The surface reflects what it does not emit. */
            const vr emissivity = vr_set1(c->emissivity);
            radiance = vr_fma(emissivity, surface, vr_mul(vr_sub(vr_set1(1), emissivity), radiance));
            vr change = vr_mul(emissivity, surface_jacobian);
            put_flux(sum_up + n_lay * SUMS + part, up_g ? up_g + (ptrdiff_t)n_lay * c->flux_g_stride : NULL,
                     vr_mul(per_radiance, radiance), first, n);
            if (jacobian)
                accumulate(sum_jacobian + n_lay * SUMS + part, vr_mul(per_radiance, change));
            for (size_t l = n_lay; l-- > 0;) {
                vr transmission = vr_load(through + l * VL);
                radiance        = vr_fma(transmission, radiance, vr_load(emitted_up + l * VL));
                put_flux(sum_up + l * SUMS + part, up_g ? up_g + (ptrdiff_t)l * c->flux_g_stride : NULL,
                         vr_mul(per_radiance, radiance), first, n);
                if (jacobian) {
                    change = vr_mul(transmission, change);
                    accumulate(sum_jacobian + l * SUMS + part, vr_mul(per_radiance, change));
                }
            }
        }
    }
    add_up(n_lev, sum_up, c->up, c->flux_stride);
    add_up(n_lev, sum_down, c->down, c->flux_stride);
    add_up(n_lev, sum_jacobian, c->up_jacobian, c->flux_stride);
}

static void sources(const lw_column *c, real *lay_source, real *lev_source, real *sfc_source, real *sfc_jacobian)
{
    for (size_t g = 0; g < c->n_g; g += VL) {
        size_t n = c->n_g - g < VL ? c->n_g - g : VL;
        vr     surface = vr_zero(), surface_jacobian = vr_zero();
        make_sources(c, g, n, lay_source ? lay_source + g : NULL, c->lay_stride, lev_source ? lev_source + g : NULL,
                     c->lev_stride, &surface, &surface_jacobian);
        if (sfc_source)
            store(sfc_source + g, surface, n);
        if (sfc_jacobian)
            store(sfc_jacobian + g, surface_jacobian, n);
    }
}

/* ------------------------------------------------------------------------------------------------------ shortwave */

/* Reflection and transmission of one layer. */
typedef struct {
    vr reflect, transmit;               /* diffuse light                                                  */
    vr direct_reflect, direct_transmit; /* direct beam into diffuse light                                 */
    vr through;                         /* direct beam that passes                                        */
} layer_optics;

/* Two-stream solution with the coefficients of Zdunkowski's practical improved flux method (PIFM, Zdunkowski et al.
 * 1980) as in Meador & Weaver 1980, doi:10.1175/1520-0469(1980)037<0630:TSATRT>2.0.CO;2, eq. 14-15, 25-26 for the
 * direct beam. */
SG_INLINE layer_optics two_stream(vr tau, vr w, vr g, real mu0_in)
{
    const vr one = vr_set1(1), two = vr_set1(2), three = vr_set1(3), quarter = vr_set1(R(0.25));
    const real least_mu =
        SG_REAL_IS_FLOAT ? R(3.4526698e-04) : R(1.4901161193847656e-08); /* square root of the epsilon */
    const vr mu0 = vr_set1(mu0_in), mu = vr_set1(mu0_in > least_mu ? mu0_in : least_mu);

    vr gamma1 = vr_mul(quarter, vr_fnma(w, vr_fma(three, g, vr_set1(5)), vr_set1(8)));
    vr gamma2 = vr_mul(vr_mul(vr_set1(R(0.75)), w), vr_sub(one, g));
    vr gamma3 = vr_mul(quarter, vr_fnma(vr_mul(three, mu0), g, two));
    vr gamma4 = vr_sub(one, gamma3);
    vr alpha1 = vr_fma(gamma1, gamma4, vr_mul(gamma2, gamma3));
    vr alpha2 = vr_fma(gamma1, gamma3, vr_mul(gamma2, gamma4));

    /* k = 0 in conservative scattering; the bound keeps the divisions below in range. */
    vr k2 = vr_max(vr_mul(vr_sub(gamma1, gamma2), vr_add(gamma1, gamma2)), vr_set1(R(1e4) * REAL_EPSILON));
    vr k  = vr_sqrt(k2);
    vr e = vr_exp(vr_neg(vr_mul(k, tau))), e2 = vr_mul(e, e);
    vr per = vr_div(one, vr_fma(k, vr_add(one, e2), vr_mul(gamma1, vr_sub(one, e2))));
    layer_optics o;
    o.reflect  = vr_mul(vr_mul(per, gamma2), vr_sub(one, e2));
    o.transmit = vr_mul(vr_mul(vr_add(k, k), e), per);

    vr k_mu = vr_mul(k, mu), k_g3 = vr_mul(k, gamma3), k_g4 = vr_mul(k, gamma4);
    vr gap  = vr_fnma(k_mu, k_mu, one);
    gap     = vr_select(vr_lt(vr_abs(gap), vr_set1(REAL_EPSILON)), vr_set1(REAL_EPSILON), gap);
    vr beam = vr_div(vr_mul(w, per), gap);
    o.through = vr_exp(vr_neg(vr_div(tau, mu)));

    vr minus = vr_sub(one, k_mu), plus = vr_add(one, k_mu);
    vr r = vr_mul(minus, vr_add(alpha2, k_g3));
    r    = vr_fnma(vr_mul(plus, vr_sub(alpha2, k_g3)), e2, r);
    r    = vr_fnma(vr_mul(two, vr_fnma(alpha2, k_mu, k_g3)), vr_mul(e, o.through), r);
    vr t = vr_mul(vr_mul(plus, vr_add(alpha1, k_g4)), o.through);
    t    = vr_fnma(vr_mul(vr_mul(minus, vr_sub(alpha1, k_g4)), e2), o.through, t);
    t    = vr_fnma(vr_mul(two, vr_fma(alpha1, k_mu, k_g4)), e, t);
    vr scattered = vr_sub(one, o.through); /* the beam loses no more than this */
    o.direct_reflect  = vr_max(vr_zero(), vr_min(vr_mul(beam, r), scattered));
    o.direct_transmit = vr_max(vr_zero(), vr_min(vr_neg(vr_mul(beam, t)), vr_sub(scattered, o.direct_reflect)));
    return o;
}

/* Two-stream layers combined by adding, Shonk & Hogan 2008, doi:10.1175/2007JCLI1940.1, eq. 9-13. */
static void shortwave(const sw_column *c, void *scratch)
{
    size_t   n_lay = c->n_lay, n_lev = n_lay + 1;
    real    *sum_up = scratch, *sum_down = sum_up + n_lev * SUMS, *sum_direct = sum_down + n_lev * SUMS;
    real    *beam    = sum_direct + n_lev * SUMS;                                /* at levels                     */
    real    *reflect = beam + n_lev * VL, *transmit = reflect + n_lev * VL;      /* of layers                     */
    real    *from_up = transmit + n_lev * VL, *from_down = from_up + n_lev * VL; /* diffuse light made in layers  */
    real    *between = from_down + n_lev * VL;                                   /* multiple reflection, layers   */
    real    *albedo = between + n_lev * VL, *source = albedo + n_lev * VL;       /* of all below, at levels       */
    const vr one = vr_set1(1);
    memset(scratch, 0, n_lev * FLUXES * SUMS * sizeof(real));

    for (size_t g = 0; g < c->n_g; g += VL) {
        size_t n = c->n_g - g < VL ? c->n_g - g : VL, part = g % SUMS;
        vr     direct = vr_mul(vr_mul(load(c->toa_source + g, n), vr_set1(c->toa_scale)), vr_set1(c->mu0));
        vr_store(beam, direct);
        for (size_t l = 0; l < n_lay; l++) {
            ptrdiff_t at = (ptrdiff_t)l * c->lay_stride + (ptrdiff_t)g;
            vr        tau = load(c->tau + at, n), w;
            if (c->rayleigh) {
                vr scattering = load(c->rayleigh + at, n);
                tau           = vr_add(tau, scattering);
                w = vr_select(vr_lt(vr_set1(2 * REAL_TINY), tau), vr_div(scattering, tau), vr_zero());
            } else {
                w = load(c->ssa + at, n);
            }
            layer_optics o = two_stream(tau, w, c->asymmetry ? load(c->asymmetry + at, n) : vr_zero(), c->mu0);
            vr_store(reflect + l * VL, o.reflect);
            vr_store(transmit + l * VL, o.transmit);
            vr_store(from_up + l * VL, vr_mul(o.direct_reflect, direct));
            vr_store(from_down + l * VL, vr_mul(o.direct_transmit, direct));
            direct = vr_mul(o.through, direct);
            vr_store(beam + (l + 1) * VL, direct);
        }
        vr below = vr_set1(c->albedo_diffuse), lit = vr_mul(vr_set1(c->albedo_direct), direct);
        vr_store(albedo + n_lay * VL, below);
        vr_store(source + n_lay * VL, lit);
        for (size_t l = n_lay; l-- > 0;) {
            vr r = vr_load(reflect + l * VL), t = vr_load(transmit + l * VL);
            vr b = vr_div(one, vr_fnma(r, below, one)), tb = vr_mul(t, b);
            vr_store(between + l * VL, b);
            lit   = vr_fma(tb, vr_fma(below, vr_load(from_down + l * VL), lit), vr_load(from_up + l * VL));
            below = vr_fma(vr_mul(t, below), tb, r);
            vr_store(albedo + l * VL, below);
            vr_store(source + l * VL, lit);
        }
        vr diffuse = vr_zero(); /* none comes in at the top */
        for (size_t l = 0; l < n_lev; l++) {
            if (l) {
                vr passed = vr_fma(vr_load(transmit + (l - 1) * VL), diffuse, vr_load(from_down + (l - 1) * VL));
                diffuse   = vr_mul(vr_fma(vr_load(reflect + (l - 1) * VL), vr_load(source + l * VL), passed),
                                   vr_load(between + (l - 1) * VL));
            }
            direct       = vr_load(beam + l * VL);
            vr up        = vr_fma(diffuse, vr_load(albedo + l * VL), vr_load(source + l * VL));
            ptrdiff_t at = (ptrdiff_t)l * c->flux_g_stride + (ptrdiff_t)g;
            put_flux(sum_up + l * SUMS + part, c->up_g ? c->up_g + at : NULL, up, 1, n);
            put_flux(sum_down + l * SUMS + part, c->down_g ? c->down_g + at : NULL, vr_add(diffuse, direct), 1, n);
            accumulate(sum_direct + l * SUMS + part, direct);
        }
    }
    add_up(n_lev, sum_up, c->up, c->flux_stride);
    add_up(n_lev, sum_down, c->down, c->flux_stride);
    add_up(n_lev, sum_direct, c->direct, c->flux_stride);
}

const SG_TYPED(sg_solver_kernels) SG_HOT(sg_radiation_solver) = {scratch_bytes, longwave, shortwave, sources};
