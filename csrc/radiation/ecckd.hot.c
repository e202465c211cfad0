/* SPDX-License-Identifier: BSD-3-Clause */
/* ecCKD optics of cells, a vector of g-points at a time. Each optical depth is one chain of multiply-adds over the gases. */
#include "radiation/ecckd.h"

#include <math.h>

#include "base/simd.h"

#if SG_REAL_IS_FLOAT
#define SG_TYPED(n) n##_f32
#define TABLE 0
#else
#define SG_TYPED(n) n##_f64
#define TABLE 1
#endif

/* Row below and weight of the row above on an even axis; held at the ends. */
SG_INLINE size_t place(double x, double first, double step, size_t n, double *weight)
{
    double position = (x - first) / step, last = (double)(n - 1);
    position        = position < 0 ? 0 : position > last ? last : position;
    size_t i        = (size_t)position;
    i               = i > n - 2 ? n - 2 : i;
    *weight         = position - (double)i;
    return i;
}

/* One gas in one cell: the corners of its table around the cell, and their weights times the amount of gas. */
typedef struct term {
    size_t      n; /* 4 or 8 */
    const real *corner[8];
    real        weight[8];
} term;

static void cells(const sg_ecckd *e, size_t n, const real *t, const real *p, const real *moles, const real *vmr, const real *h2o,
                  real *tau, real *rayleigh)
{
    const real *table = e->absorption[TABLE], *molar = e->rayleigh[TABLE];
    size_t      n_g = e->n_g, stride = e->g_stride, t_stride = e->n_pressure * stride, x_stride = e->n_temperature * t_stride;
    term        terms[SG_ECCKD_MAX_GAS];
    for (size_t i = 0; i < n; i++) {
        double wp, wt, wx = 0;
        size_t ip    = place(log((double)p[i]), e->log_p_first, e->log_p_step, e->n_pressure, &wp);
        double first = (1 - wp) * e->t_first[ip] + wp * e->t_first[ip + 1];
        size_t it    = place((double)t[i], first, e->t_step, e->n_temperature, &wt);
        double w[4]  = {(1 - wt) * (1 - wp), (1 - wt) * wp, wt * (1 - wp), wt * wp};
        for (size_t g = 0; g < e->n_gas; g++) {
            double      x = (double)vmr[g * n + i], amount = (double)moles[i];
            const real *k = table + e->gas[g].table + it * t_stride + ip * stride;
            term       *a = terms + g;
            a->n          = 4;
            switch (e->gas[g].dependence) {
            case SG_ECCKD_NONE: break;
            case SG_ECCKD_LINEAR: amount *= x; break;
            case SG_ECCKD_RELATIVE: amount *= x - e->gas[g].reference; break;
            case SG_ECCKD_LOOK_UP:
                amount *= x;
                a->n = 8;
                k += x_stride * place(log(x > e->gas[g].first ? x : e->gas[g].first), e->gas[g].log_first, e->gas[g].log_step,
                                      e->gas[g].n_fraction, &wx);
                break;
            }
            for (size_t c = 0; c < a->n; c++) {
                a->corner[c] = k + (c >> 2) * x_stride + (c >> 1 & 1) * t_stride + (c & 1) * stride;
                a->weight[c] = (real)(amount * w[c & 3] * (a->n == 4 ? 1 : c >> 2 ? wx : 1 - wx));
            }
        }
        vr air = vr_set1(moles[i] * (1 + h2o[i]));
        for (size_t g = 0; g < n_g; g += VL) {
            vr sum = vr_zero();
            for (size_t a = 0; a < e->n_gas; a++)
                for (size_t c = 0; c < terms[a].n; c++)
                    sum = vr_fma(vr_set1(terms[a].weight[c]), vr_load(terms[a].corner[c] + g), sum);
            sum         = vr_max(sum, vr_zero()); /* a gas far below its reference must not make light */
            size_t left = n_g - g < VL ? n_g - g : VL;
            vr_store_n(tau + i * n_g + g, sum, left);
            if (molar)
                vr_store_n(rayleigh + i * n_g + g, vr_mul(air, vr_load(molar + g)), left);
        }
    }
}

static void planck(const sg_ecckd *e, size_t n, const real *t, real *source)
{
    const real *table = e->planck[TABLE];
    for (size_t i = 0; i < n; i++) {
        double      w;
        const real *row   = table + e->g_stride * place((double)t[i], e->planck_first, e->planck_step, e->n_planck, &w);
        vr          upper = vr_set1((real)w), lower = vr_set1((real)(1 - w));
        for (size_t g = 0; g < e->n_g; g += VL) {
            vr b = vr_fma(upper, vr_load(row + e->g_stride + g), vr_mul(lower, vr_load(row + g)));
            vr_store_n(source + i * e->n_g + g, b, e->n_g - g < VL ? e->n_g - g : VL);
        }
    }
}

extern const SG_TYPED(sg_ecckd_kernels) SG_HOT(sg_radiation_ecckd);
const SG_TYPED(sg_ecckd_kernels) SG_HOT(sg_radiation_ecckd) = {cells, planck};
