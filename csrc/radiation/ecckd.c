/* SPDX-License-Identifier: BSD-3-Clause */
#include "radiation/ecckd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/threads.h"

#define PI 3.14159265358979323846
#define PICK_KERNELS(name, isa) SG_ISA_PICK(name, isa) /* so that the name is expanded first */

void sg_ecckd_free(sg_ecckd *ecckd)
{
    if (!ecckd)
        return;
    sg_free(ecckd->t_first);
    for (int i = 0; i < 2; i++) {
        sg_free(ecckd->absorption[i]);
        sg_free(ecckd->planck[i]);
        sg_free(ecckd->rayleigh[i]);
    }
    sg_free(ecckd);
}

/* First value and step of an axis that must be even and ascending. */
static sg_status even_axis(const char *name, size_t n, const double *x, int logarithmic, double *first, double *step, sg_error *error)
{
    if (n < 2)
        return sg_fail(error, SG_ERR_VALUE, name, "expected at least 2 points, got %zu", n);
    double a = logarithmic ? log(x[0]) : x[0], b = logarithmic ? log(x[n - 1]) : x[n - 1];
    *first   = a;
    *step    = (b - a) / (double)(n - 1);
    if (!(*step > 0 && *step < INFINITY))
        return sg_fail(error, SG_ERR_VALUE, name, "expected ascending values%s, got %g to %g", logarithmic ? " above 0" : "", x[0],
                       x[n - 1]);
    for (size_t i = 0; i < n; i++) {
        double value = logarithmic ? log(x[i]) : x[i];
        if (!(fabs(value - (a + *step * (double)i)) < 1e-3 * *step))
            return sg_fail(error, SG_ERR_VALUE, name, "expected even steps%s, got %g at index %zu",
                           logarithmic ? " of the logarithm" : "", x[i], i);
    }
    return SG_OK;
}

/* Both precisions of n_row rows of n_g values, padded to g_stride with zeros and scaled, at element offset of out. */
static void store_rows(const sg_ecckd *e, size_t n_row, const double *rows, double scale, size_t offset, void *const out[2])
{
    float  *single = (float *)out[0] + offset;
    double *twofold = (double *)out[1] + offset;
    for (size_t i = 0; i < n_row; i++)
        for (size_t g = 0; g < e->n_g; g++) {
            double value                = scale * rows[i * e->n_g + g];
            float  rounded              = (float)value;
            single[i * e->g_stride + g] = fabsf(rounded) < 1.17549435e-38f ? 0 : rounded; /* no denormals */
            twofold[i * e->g_stride + g] = value;
        }
}

static sg_status allocate_both(void *both[2], size_t n, const char *what, sg_error *error)
{
    SG_TRY(sg_alloc_array(&both[0], n, sizeof(float), what, error));
    return sg_alloc_array(&both[1], n, sizeof(double), what, error);
}

static sg_status fill(const sg_ecckd_arrays *a, sg_ecckd *e, sg_error *error)
{
    SG_TRY(even_axis("pressure", a->n_pressure, a->pressure, 1, &e->log_p_first, &e->log_p_step, error));
    e->p_min = a->pressure[0];
    e->p_max = a->pressure[a->n_pressure - 1];
    if (a->n_temperature < 2)
        return sg_fail(error, SG_ERR_VALUE, "temperature", "expected at least 2 temperatures, got %zu", a->n_temperature);
    e->t_step = (a->temperature[(a->n_temperature - 1) * a->n_pressure] - a->temperature[0]) / (double)(a->n_temperature - 1);
    SG_TRY(sg_alloc_array(&e->t_first, a->n_pressure, sizeof(double), "first temperatures", error));
    for (size_t i = 0; i < a->n_temperature; i++)
        for (size_t j = 0; j < a->n_pressure; j++) {
            e->t_first[j] = a->temperature[j];
            double expect = a->temperature[j] + e->t_step * (double)i;
            if (!(e->t_step > 0) || !(fabs(a->temperature[i * a->n_pressure + j] - expect) < 1e-3 * e->t_step))
                return sg_fail(error, SG_ERR_VALUE, "temperature", "expected even steps of %g K at every pressure, got %g K at (%zu, %zu)",
                               e->t_step, a->temperature[i * a->n_pressure + j], i, j);
        }
    size_t n_row = 0, per_fraction = sg_size_mul(a->n_temperature, a->n_pressure);
    for (size_t g = 0; g < a->n_gas; g++) {
        const sg_ecckd_gas *gas = a->gas + g;
        char                name[32];
        snprintf(name, sizeof name, "gas %zu", g);
        e->gas[g].dependence = gas->dependence;
        e->gas[g].n_fraction = gas->n_fraction;
        e->gas[g].reference  = gas->reference;
        e->gas[g].table      = n_row * e->g_stride;
        if (gas->dependence == SG_ECCKD_LOOK_UP) {
            SG_TRY(even_axis("mole_fraction", gas->n_fraction, gas->fraction, 1, &e->gas[g].log_first, &e->gas[g].log_step, error));
            e->gas[g].first = gas->fraction[0];
        } else if (gas->n_fraction != 1 || gas->dependence < SG_ECCKD_NONE || gas->dependence > SG_ECCKD_RELATIVE)
            return sg_fail(error, SG_ERR_VALUE, name, "concentration dependence %d with %zu mole fractions is not known",
                           (int)gas->dependence, gas->n_fraction);
        n_row += sg_size_mul(gas->n_fraction, per_fraction);
    }
    SG_TRY(allocate_both(e->absorption, sg_size_mul(n_row, e->g_stride), "absorption coefficients", error));
    for (size_t g = 0; g < a->n_gas; g++)
        store_rows(e, a->gas[g].n_fraction * per_fraction, a->gas[g].absorption, 1, e->gas[g].table, e->absorption);
    if (e->shortwave) {
        SG_TRY(allocate_both(e->rayleigh, e->g_stride, "Rayleigh coefficients", error));
        store_rows(e, 1, a->rayleigh, 1, 0, e->rayleigh);
    } else {
        SG_TRY(even_axis("planck_temperature", a->n_planck, a->planck_temperature, 0, &e->planck_first, &e->planck_step, error));
        SG_TRY(allocate_both(e->planck, sg_size_mul(a->n_planck, e->g_stride), "Planck functions", error));
        store_rows(e, a->n_planck, a->planck, 1 / PI, 0, e->planck);
    }
    return SG_OK;
}

sg_status sg_ecckd_create(const sg_ecckd_arrays *arrays, sg_ecckd **out, sg_error *error)
{
    *out = NULL;
    if (arrays->n_g < 1)
        return sg_fail(error, SG_ERR_VALUE, "n_g", "expected at least 1 g-point");
    if (arrays->n_gas < 1 || arrays->n_gas > SG_ECCKD_MAX_GAS)
        return sg_fail(error, SG_ERR_VALUE, "n_gas", "expected 1 to %d gases, got %zu", SG_ECCKD_MAX_GAS, arrays->n_gas);
    if (!arrays->planck == !arrays->rayleigh)
        return sg_fail(error, SG_ERR_VALUE, "planck", "expected either Planck functions (longwave) or Rayleigh coefficients (shortwave)");
    sg_ecckd *e;
    SG_TRY(sg_alloc_array(&e, 1, sizeof *e, "an ecCKD definition", error));
    e->shortwave     = arrays->rayleigh != NULL;
    e->n_temperature = arrays->n_temperature;
    e->n_pressure    = arrays->n_pressure;
    e->n_g           = arrays->n_g;
    e->n_gas         = arrays->n_gas;
    e->n_planck      = arrays->n_planck;
    e->g_stride      = sg_round_up(arrays->n_g, 16);
    sg_status status = fill(arrays, e, error);
    if (status != SG_OK) {
        sg_ecckd_free(e);
        return status;
    }
    *out = e;
    return SG_OK;
}

/* As the front end of the tables says it (front.c). */
static sg_status refuse(const char *name, size_t col, size_t lay, double value, double low, double high, const char *unit,
                        const char *table, sg_error *error)
{
    sg_status status;
    if (!(value - value == 0))
        status = sg_fail(error, SG_ERR_NOT_FINITE, NULL, "%s[%zu, %zu] is %s", name, col, lay, value != value ? "NaN" : "infinite");
    else
        status = sg_fail(error, SG_ERR_DOMAIN, NULL,
                         "%s[%zu, %zu] = %.7g%s lies outside %s (%.6g to %.6g%s); pass out_of_range=\"clip\" to clip and count instead",
                         name, col, lay, value, unit, table, low, high, unit);
    if (error)
        snprintf(error->argument, sizeof error->argument, "%s", name);
    return status;
}

#define real          float
#define SG_TYPED(n)   n##_f32
#include "radiation/ecckd_front.inc.h"
#undef real
#undef SG_TYPED

#define real          double
#define SG_TYPED(n)   n##_f64
#include "radiation/ecckd_front.inc.h"
#undef real
#undef SG_TYPED
