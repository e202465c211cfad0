/* SPDX-License-Identifier: BSD-3-Clause */
#include "radiation/column.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

#define SECONDS_PER_DAY 86400.0

/* The widest change of a temperature in one accelerated step [K]: keeps a far extrapolation inside what the slot knows. */
#define MAX_CHANGE 8.0

typedef struct column_work {
    sg_column_setup setup;  /* pointers below replace those of the caller */
    double *p_lay, *p_lev, *humidity, *capacity, *exner;  /* per column: layers, levels, layers, layers, layers */

    /* Per column and step. */
    double *dt;               /* (n_col) [s]                                                                    */
    double *norm_best;        /* (n_col) least residual since the acceleration was restarted                    */
    size_t *calm;             /* (n_col) steps since then                                                       */
    size_t *n_limited;        /* (n_col) steps in a row that left the range of temperatures                         */
    size_t *n_memory;         /* (n_col) differences held                                                       */
    double *x_last, *f_last;  /* (n_col, n) state and residual of the step before                               */
    double *x_best, *f_best;  /* (n_col, n) and those of the least residual                                     */
    double *dx, *df;          /* (n_col, memory, n) their differences, newest at n_newest                       */
    size_t *newest;           /* (n_col)                                                                        */

    /* Packed columns that are not at rest, as the slot sees them. */
    size_t *active;
    double *a_p_lay, *a_p_lev, *a_t_lay, *a_t_lev, *a_t_sfc, *a_h2o, *a_flux[4];

    double *x, *f, *q, *adjust;  /* scratch of one column: (n), (n), (memory, n), (3 n) */
} column_work;

double sg_column_saturation(double t)
{
    double c = t - 273.15;
    return c >= 0 ? 610.94 * exp(17.625 * c / (243.04 + c)) : 611.21 * exp(22.587 * c / (273.86 + c));
}

void sg_column_adjust(size_t n_lay, const double *heat_capacity, double surface_heat_capacity, const double *exner,
                      double *t_lay, double *t_sfc, double *work)
{
    /* Blocks from the surface upwards: heat, capacity in terms of potential temperature, first element above the block. */
    double *heat = work, *capacity = work + n_lay + 1, *end = work + 2 * (n_lay + 1);
    int     fixed = surface_heat_capacity <= 0;
    size_t  n     = 1;
    heat[0]       = fixed ? *t_sfc : surface_heat_capacity * *t_sfc;
    capacity[0]   = fixed ? 1 : surface_heat_capacity;
    end[0]        = 1;
    for (size_t i = 1; i <= n_lay; i++) {
        size_t l    = n_lay - i;
        heat[n]     = heat_capacity[l] * t_lay[l];
        capacity[n] = heat_capacity[l] * exner[l];
        end[n]      = (double)(i + 1);
        n++;
        while (n > 1 && heat[n - 2] * capacity[n - 1] > heat[n - 1] * capacity[n - 2]) {
            if (!(fixed && n == 2)) {  /* the fixed surface takes or gives any heat: its block keeps its temperature */
                heat[n - 2] += heat[n - 1];
                capacity[n - 2] += capacity[n - 1];
            }
            end[n - 2] = end[n - 1];
            n--;
        }
    }
    size_t i = 0;
    for (size_t block = 0; block < n; block++) {
        size_t first = i, last = (size_t)end[block];
        double theta = heat[block] / capacity[block];
        for (; i < last; i++) {
            if (last - first == 1)
                continue;  /* alone: untouched, to the bit */
            if (i == 0)
                *t_sfc = fixed ? *t_sfc : theta;
            else
                t_lay[n_lay - i] = theta * exner[n_lay - i];
        }
    }
}

/* d ln T / d ln p of saturated air, pseudo-adiabatic. American Meteorological Society glossary, moist-adiabatic lapse rate. */
static double moist_gradient(double p, double t)
{
    double e = fmin(sg_column_saturation(t), 0.5 * p);
    double r = SG_COLUMN_R_DRY / SG_COLUMN_R_VAPOUR * e / (p - e);
    double a = SG_COLUMN_LATENT_HEAT * r / (SG_COLUMN_R_DRY * t);
    double b = SG_COLUMN_LATENT_HEAT * SG_COLUMN_LATENT_HEAT * r / (SG_COLUMN_R_VAPOUR * SG_COLUMN_CP * t * t);
    return SG_COLUMN_R_DRY / SG_COLUMN_CP * (1 + a) / (1 + b);
}

void sg_column_moist_exner(size_t n_lay, double p_sfc, double t_sfc, const double *p_lay, double *exner)
{
    double p = p_sfc, t = t_sfc;
    for (size_t l = n_lay; l-- > 0;) {
        /* Midpoint rule in ln p; steps of at most 0.1 keep the error of T below 0.01 K. */
        double whole = log(p_lay[l] / p);
        size_t n     = 1 + (size_t)(fabs(whole) / 0.1);
        double h     = whole / (double)n;
        for (size_t i = 0; i < n; i++) {
            double middle = t * exp(0.5 * h * moist_gradient(p, t));
            t *= exp(h * moist_gradient(p * exp(0.5 * h), middle));
            p *= exp(h);
        }
        p        = p_lay[l];
        exner[l] = t / t_sfc;
    }
}

/* Water vapour of layers with fixed relative humidity, relative to dry air; above the coldest point not more than there. */
static void humidify(size_t n_lay, const double *p, const double *t, const double *relative_humidity, double floor, double *h2o)
{
    size_t cold = n_lay - 1;  /* coldest layer below 50 hPa */
    for (size_t l = n_lay; l-- > 0 && p[l] > 5000.0;)
        if (t[l] < t[cold])
            cold = l;
    for (size_t l = n_lay; l-- > 0;) {
        double e = fmin(relative_humidity[l] * sg_column_saturation(t[l]), 0.5 * p[l]);
        double q = e / (p[l] - e);
        if (l < cold)
            q = fmin(q, h2o[l + 1]);
        h2o[l] = fmax(q, floor);
    }
}

/* Temperatures at the levels: linear in ln p between the layers, continued at both ends. */
static void to_levels(size_t n_lay, const double *p_lay, const double *p_lev, const double *t_lay, double t_min, double t_max,
                      double *t_lev)
{
    for (size_t l = 0; l <= n_lay; l++) {
        size_t lower = l == 0 ? 1 : l == n_lay ? n_lay - 1 : l, upper = lower - 1;
        double w     = log(p_lev[l] / p_lay[upper]) / log(p_lay[lower] / p_lay[upper]);
        double t     = t_lay[upper] + w * (t_lay[lower] - t_lay[upper]);
        t_lev[l]     = fmin(fmax(t, t_min), t_max);
    }
}

void sg_column_free(sg_column *column)
{
    if (!column)
        return;
    column_work *w = column->work;
    if (w) {
        void *blocks[] = {w->p_lay, w->p_lev, w->humidity, w->capacity, w->exner, w->dt, w->norm_best, w->calm, w->n_limited, w->n_memory,
                          w->x_last, w->f_last, w->x_best, w->f_best, w->dx, w->df, w->newest, w->active, w->a_p_lay, w->a_p_lev, w->a_t_lay,
                          w->a_t_lev, w->a_t_sfc, w->a_h2o, w->a_flux[0], w->a_flux[1], w->a_flux[2], w->a_flux[3], w->x,
                          w->f, w->q, w->adjust};
        for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
            sg_free(blocks[i]);
        sg_free(w);
    }
    void *blocks[] = {column->steps, column->converged, column->limited, column->t_lay, column->t_sfc, column->h2o, column->flux[0],
                      column->flux[1], column->flux[2], column->flux[3], column->imbalance, column->rate, column->time};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        sg_free(blocks[i]);
    sg_free(column);
}

static sg_status check_range(const char *name, double value, double low, double high, const char *unit, sg_error *error)
{
    if (!(value >= low && value <= high))
        return sg_fail(error, SG_ERR_VALUE, name, "expected %g to %g %s, got %g", low, high, unit, value);
    return SG_OK;
}

static sg_status check_field(const char *name, const double *x, size_t n_col, size_t n, double low, double high,
                             const char *unit, sg_error *error)
{
    for (size_t i = 0; i < n_col * n; i++)
        if (!(x[i] >= low && x[i] <= high)) {
            char what[96];
            if (n == 1)
                snprintf(what, sizeof what, "%s[%zu]", name, i);
            else
                snprintf(what, sizeof what, "%s[%zu, %zu]", name, i / n, i % n);
            return sg_fail(error, SG_ERR_DOMAIN, what, "expected %g to %g %s, got %g", low, high, unit, x[i]);
        }
    return SG_OK;
}

static sg_status check_setup(const sg_column_setup *s, sg_error *error)
{
    if (s->n_col < 1)
        return sg_fail(error, SG_ERR_VALUE, "n_col", "expected at least 1 column, got 0");
    if (s->n_lay < 2)
        return sg_fail(error, SG_ERR_VALUE, "n_lay", "expected at least 2 layers, got %zu", s->n_lay);
    for (size_t c = 0; c < s->n_col; c++)
        for (size_t l = 0; l < s->n_lay; l++) {
            const double *level = s->p_lev + c * (s->n_lay + 1) + l;
            double        layer = s->p_lay[c * s->n_lay + l];
            if (!(level[0] > 0 && level[1] > level[0]))
                return sg_fail(error, SG_ERR_VALUE, "pressure_level",
                               "column %zu: expected pressures above 0 that grow downwards, got %g Pa above %g Pa", c, level[0],
                               level[1]);
            if (!(layer >= level[0] && layer <= level[1]))
                return sg_fail(error, SG_ERR_VALUE, "pressure_layer",
                               "column %zu, layer %zu: %g Pa lies outside its levels (%g to %g Pa)", c, l, layer, level[0],
                               level[1]);
            if (l > 0 && !(layer > s->p_lay[c * s->n_lay + l - 1]))
                return sg_fail(error, SG_ERR_VALUE, "pressure_layer", "column %zu: layers %zu and %zu are at the same pressure",
                               c, l - 1, l);
        }
    SG_TRY(check_range("t_min", s->t_min, 1, 1000, "K", error));
    SG_TRY(check_range("t_max", s->t_max, s->t_min, 1000, "K", error));
    SG_TRY(check_field("temperature_layer", s->t_lay, s->n_col, s->n_lay, s->t_min, s->t_max, "K", error));
    SG_TRY(check_field("temperature_surface", s->t_sfc, s->n_col, 1, s->t_min, s->t_max, "K", error));
    if (s->relative_humidity)
        SG_TRY(check_field("relative_humidity", s->relative_humidity, s->n_col, s->n_lay, 0, 1, "1", error));
    else
        SG_TRY(check_field("h2o", s->h2o, s->n_col, s->n_lay, 0, 1, "1", error));
    SG_TRY(check_range("h2o_floor", s->h2o_floor, 0, 0.1, "1", error));
    SG_TRY(check_range("lapse_rate", s->lapse_rate, 0, 0.1, "K m-1", error));
    SG_TRY(check_range("surface_heat_capacity", s->surface_heat_capacity, 0, 1e12, "J m-2 K-1", error));
    SG_TRY(check_range("step", s->step, 1, 1e9, "s", error));
    SG_TRY(check_range("flux_tolerance", s->flux_tolerance, 1e-9, 1e3, "W m-2", error));
    SG_TRY(check_range("rate_tolerance", s->rate_tolerance, 1e-9, 1e3, "K day-1", error));
    if (s->memory > SG_COLUMN_MAX_MEMORY)
        return sg_fail(error, SG_ERR_VALUE, "memory", "expected at most %d, got %zu", SG_COLUMN_MAX_MEMORY, s->memory);
    return SG_OK;
}

static sg_status allocate(sg_column *column, column_work *w, sg_error *error)
{
    size_t n_col = column->n_col, n_lay = column->n_lay, n = n_lay + 1, memory = w->setup.memory ? w->setup.memory : 1;
    size_t layers = sg_size_mul(n_col, n_lay), levels = sg_size_mul(n_col, n), history = sg_size_mul(levels, memory);
    struct {
        void       *pointer;
        size_t      count, size;
        const char *what;
    } list[] = {
        {&column->steps, n_col, sizeof(size_t), "step counts"},
        {&column->converged, n_col, 1, "convergence flags"},
        {&column->limited, n_col, 1, "limit flags"},
        {&column->t_lay, layers, sizeof(double), "layer temperatures"},
        {&column->t_sfc, n_col, sizeof(double), "surface temperatures"},
        {&column->h2o, layers, sizeof(double), "water vapour"},
        {&column->flux[0], levels, sizeof(double), "fluxes"},
        {&column->flux[1], levels, sizeof(double), "fluxes"},
        {&column->flux[2], levels, sizeof(double), "fluxes"},
        {&column->flux[3], levels, sizeof(double), "fluxes"},
        {&column->imbalance, n_col, sizeof(double), "imbalances"},
        {&column->rate, n_col, sizeof(double), "rates"},
        {&column->time, n_col, sizeof(double), "times"},
        {&w->p_lay, layers, sizeof(double), "layer pressures"},
        {&w->p_lev, levels, sizeof(double), "level pressures"},
        {&w->humidity, layers, sizeof(double), "relative humidity"},
        {&w->capacity, layers, sizeof(double), "heat capacities"},
        {&w->exner, layers, sizeof(double), "Exner functions"},
        {&w->dt, n_col, sizeof(double), "time steps"},
        {&w->norm_best, n_col, sizeof(double), "residuals"},
        {&w->calm, n_col, sizeof(size_t), "counters"},
        {&w->n_limited, n_col, sizeof(size_t), "counters"},
        {&w->n_memory, n_col, sizeof(size_t), "counters"},
        {&w->newest, n_col, sizeof(size_t), "counters"},
        {&w->x_last, levels, sizeof(double), "last states"},
        {&w->f_last, levels, sizeof(double), "last residuals"},
        {&w->x_best, levels, sizeof(double), "best states"},
        {&w->f_best, levels, sizeof(double), "best residuals"},
        {&w->dx, history, sizeof(double), "differences of states"},
        {&w->df, history, sizeof(double), "differences of residuals"},
        {&w->active, n_col, sizeof(size_t), "column numbers"},
        {&w->a_p_lay, layers, sizeof(double), "packed columns"},
        {&w->a_p_lev, levels, sizeof(double), "packed columns"},
        {&w->a_t_lay, layers, sizeof(double), "packed columns"},
        {&w->a_t_lev, levels, sizeof(double), "packed columns"},
        {&w->a_t_sfc, n_col, sizeof(double), "packed columns"},
        {&w->a_h2o, layers, sizeof(double), "packed columns"},
        {&w->a_flux[0], levels, sizeof(double), "packed fluxes"},
        {&w->a_flux[1], levels, sizeof(double), "packed fluxes"},
        {&w->a_flux[2], levels, sizeof(double), "packed fluxes"},
        {&w->a_flux[3], levels, sizeof(double), "packed fluxes"},
        {&w->x, n, sizeof(double), "a state"},
        {&w->f, n, sizeof(double), "a residual"},
        {&w->q, sg_size_mul(n, memory), sizeof(double), "an orthogonal basis"},
        {&w->adjust, 3 * n, sizeof(double), "convective blocks"},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        SG_TRY(sg_alloc_array(list[i].pointer, list[i].count, list[i].size, list[i].what, error));
    return SG_OK;
}

sg_status sg_column_create(const sg_column_setup *setup, sg_column **out, sg_error *error)
{
    *out = NULL;
    SG_TRY(check_setup(setup, error));
    sg_column   *column;
    column_work *w;
    SG_TRY(sg_alloc_array(&column, 1, sizeof *column, "a column", error));
    column->n_col    = setup->n_col;
    column->n_lay    = setup->n_lay;
    sg_status status = sg_alloc_array(&w, 1, sizeof *w, "a column", error);
    column->work     = status == SG_OK ? w : NULL;
    if (status == SG_OK) {
        w->setup = *setup;
        status   = allocate(column, w, error);
    }
    if (status != SG_OK) {
        sg_column_free(column);
        return status;
    }
    size_t n_col = setup->n_col, n_lay = setup->n_lay;
    memcpy(w->p_lay, setup->p_lay, n_col * n_lay * sizeof(double));
    memcpy(w->p_lev, setup->p_lev, n_col * (n_lay + 1) * sizeof(double));
    memcpy(column->t_lay, setup->t_lay, n_col * n_lay * sizeof(double));
    memcpy(column->t_sfc, setup->t_sfc, n_col * sizeof(double));
    if (setup->relative_humidity)
        memcpy(w->humidity, setup->relative_humidity, n_col * n_lay * sizeof(double));
    else
        memcpy(column->h2o, setup->h2o, n_col * n_lay * sizeof(double));
    double power = SG_COLUMN_R_DRY * setup->lapse_rate / SG_COLUMN_GRAVITY;
    for (size_t c = 0; c < n_col; c++) {
        const double *level = w->p_lev + c * (n_lay + 1);
        for (size_t l = 0; l < n_lay; l++) {
            w->capacity[c * n_lay + l] = SG_COLUMN_CP / SG_COLUMN_GRAVITY * (level[l + 1] - level[l]);
            w->exner[c * n_lay + l]    = pow(w->p_lay[c * n_lay + l] / level[n_lay], power);
        }
        w->dt[c]        = setup->step;
        w->norm_best[c] = INFINITY;
        column->rate[c] = INFINITY;
        /* Water vapour and convection suit the first state, so that it is one the column could be in. */
        double *t = column->t_lay + c * n_lay;
        if (setup->convection == SG_CONVECTION_MOIST)
            sg_column_moist_exner(n_lay, level[n_lay], column->t_sfc[c], w->p_lay + c * n_lay, w->exner + c * n_lay);
        if (setup->convection != SG_CONVECTION_NONE)
            sg_column_adjust(n_lay, w->capacity + c * n_lay, setup->surface_heat_capacity, w->exner + c * n_lay, t,
                             column->t_sfc + c, w->adjust);
        if (setup->relative_humidity)
            humidify(n_lay, w->p_lay + c * n_lay, t, w->humidity + c * n_lay, setup->h2o_floor, column->h2o + c * n_lay);
    }
    w->setup.p_lay             = w->p_lay;
    w->setup.p_lev             = w->p_lev;
    w->setup.relative_humidity = setup->relative_humidity ? w->humidity : NULL;
    w->setup.h2o = w->setup.t_lay = w->setup.t_sfc = NULL;
    *out                                           = column;
    return SG_OK;
}

/* Fills the packed arrays with the columns that are not at rest; returns their number. */
static size_t pack(const sg_column *column)
{
    column_work *w     = column->work;
    size_t       n_lay = column->n_lay, n = 0;
    for (size_t c = 0; c < column->n_col; c++) {
        if (column->converged[c] || w->n_limited[c] >= SG_COLUMN_PATIENCE)
            continue;
        w->active[n]   = c;
        w->a_t_sfc[n]  = column->t_sfc[c];
        size_t bytes   = n_lay * sizeof(double);
        memcpy(w->a_p_lay + n * n_lay, w->p_lay + c * n_lay, bytes);
        memcpy(w->a_p_lev + n * (n_lay + 1), w->p_lev + c * (n_lay + 1), bytes + sizeof(double));
        memcpy(w->a_t_lay + n * n_lay, column->t_lay + c * n_lay, bytes);
        memcpy(w->a_h2o + n * n_lay, column->h2o + c * n_lay, bytes);
        to_levels(n_lay, w->p_lay + c * n_lay, w->p_lev + c * (n_lay + 1), column->t_lay + c * n_lay, w->setup.t_min,
                  w->setup.t_max, w->a_t_lev + n * (n_lay + 1));
        n++;
    }
    return n;
}

/* Residual f = G(x) - x of column c, with the fluxes stored in column; sets imbalance and rate. */
static void residual(sg_column *column, size_t c, double *x, double *f)
{
    column_work           *w     = column->work;
    const sg_column_setup *s     = &w->setup;
    size_t                 n_lay = column->n_lay;
    const double          *flux[4], *capacity = w->capacity + c * n_lay;
    for (int k = 0; k < 4; k++)
        flux[k] = column->flux[k] + c * (n_lay + 1);
    memcpy(x, column->t_lay + c * n_lay, n_lay * sizeof(double));
    x[n_lay] = column->t_sfc[c];

    double above         = flux[1][0] - flux[0][0] + flux[3][0] - flux[2][0];
    column->imbalance[c] = above;
    for (size_t l = 0; l < n_lay; l++) {
        double below = flux[1][l + 1] - flux[0][l + 1] + flux[3][l + 1] - flux[2][l + 1];
        f[l]         = x[l] + w->dt[c] * (above - below) / capacity[l];
        above        = below;
    }
    f[n_lay] = x[n_lay] + (s->surface_heat_capacity > 0 ? w->dt[c] * above / s->surface_heat_capacity : 0);
    if (s->convection == SG_CONVECTION_MOIST)
        sg_column_moist_exner(n_lay, w->p_lev[c * (n_lay + 1) + n_lay], f[n_lay], w->p_lay + c * n_lay, w->exner + c * n_lay);
    if (s->convection != SG_CONVECTION_NONE)
        sg_column_adjust(n_lay, capacity, s->surface_heat_capacity, w->exner + c * n_lay, f, f + n_lay, w->adjust);
    double largest = 0;
    for (size_t i = 0; i <= n_lay; i++) {
        f[i] -= x[i];
        largest = fmax(largest, fabs(f[i]));
    }
    column->rate[c] = largest / w->dt[c] * SECONDS_PER_DAY;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Forgets the differences of column c and starts again with another step. */
static void restart(column_work *w, size_t c, double dt)
{
    w->n_memory[c]  = 0;
    w->newest[c]    = 0;
    w->calm[c]      = 0;
    w->norm_best[c] = INFINITY;
    w->dt[c]        = fmax(w->setup.step / 64, dt);
}

/* The next state x of column c from its residual f, in place. */
static void advance(sg_column *column, size_t c, double *x, double *f)
{
    column_work *w      = column->work;
    size_t       n      = column->n_lay + 1, m = w->setup.memory;
    double      *x_last = w->x_last + c * n, *f_last = w->f_last + c * n;
    double       norm = sqrt(dot(f, f, n)), dt = w->dt[c];
    double       gamma[SG_COLUMN_MAX_MEMORY], triangle[SG_COLUMN_MAX_MEMORY][SG_COLUMN_MAX_MEMORY];

    if (m == 0) { /* a run in physical time */
        for (size_t i = 0; i < n; i++)
            x[i] += f[i];
        return;
    }
    double *dx = w->dx + c * m * n, *df = w->df + c * m * n;
    if (norm > 5 * w->norm_best[c]) {
        /* An extrapolation went astray: back to the best state, on from there by plain steps. They contract, but where even
         * they have grown, the time step was too long. */
        const double *x_best = w->x_best + c * n, *f_best = w->f_best + c * n;
        double        scale  = w->n_memory[c] == 0 ? 0.5 : 1;
        for (size_t i = 0; i < n; i++)
            x[i] = x_best[i] + scale * f_best[i];
        restart(w, c, scale * dt);
        return;
    }
    if (w->calm[c] > 0) { /* remember the last difference */
        size_t slot = w->newest[c] = (w->newest[c] + 1) % m;
        for (size_t i = 0; i < n; i++) {
            dx[slot * n + i] = x[i] - x_last[i];
            df[slot * n + i] = f[i] - f_last[i];
        }
        w->n_memory[c] = w->n_memory[c] < m ? w->n_memory[c] + 1 : m;
    }
    if (norm <= w->norm_best[c]) {
        w->norm_best[c] = norm;
        memcpy(w->x_best + c * n, x, n * sizeof(double));
        memcpy(w->f_best + c * n, f, n * sizeof(double));
    }
    w->calm[c]++;
    memcpy(x_last, x, n * sizeof(double));
    memcpy(f_last, f, n * sizeof(double));

    /* Least squares f ~ df gamma by modified Gram-Schmidt, newest difference first; what hardly adds to the span is left out. */
    size_t used[SG_COLUMN_MAX_MEMORY], k = 0;
    for (size_t j = 0; j < w->n_memory[c]; j++) {
        size_t  slot = (w->newest[c] + m - j) % m;
        double *q    = w->q + k * n;
        memcpy(q, df + slot * n, n * sizeof(double));
        double whole = sqrt(dot(q, q, n));
        for (size_t i = 0; i < k; i++) {
            triangle[i][k] = dot(w->q + i * n, q, n);
            for (size_t r = 0; r < n; r++)
                q[r] -= triangle[i][k] * w->q[i * n + r];
        }
        double left = sqrt(dot(q, q, n));
        if (!(left > 1e-6 * whole) || !(whole > 0))
            continue;
        for (size_t r = 0; r < n; r++)
            q[r] /= left;
        triangle[k][k] = left;
        used[k++]      = slot;
    }
    for (size_t i = k; i-- > 0;) {
        gamma[i] = dot(w->q + i * n, f, n);
        for (size_t j = i + 1; j < k; j++)
            gamma[i] -= triangle[i][j] * gamma[j];
        gamma[i] /= triangle[i][i];
    }
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < k; j++)
            f[i] -= gamma[j] * (dx[used[j] * n + i] + df[used[j] * n + i]);
        largest = fmax(largest, fabs(f[i]));
    }
    double scale = largest > MAX_CHANGE ? MAX_CHANGE / largest : 1;
    for (size_t i = 0; i < n; i++)
        x[i] += scale * f[i];
}

/* The caller's poll as slots see it: whatever progress they report, the caller hears of steps. */
typedef struct step_poll {
    sg_poll *outer;
    double   done, total;
} step_poll;

static int ask_outer(void *context, double done, double total)
{
    (void)done, (void)total;
    step_poll *p = context;
    return p->outer->call(p->outer->context, p->done, p->total);
}

sg_status sg_column_run(sg_column *column, const sg_column_slot *slot, size_t n_steps, double *history, size_t *n_done,
                        sg_poll *poll, sg_error *error)
{
    column_work           *w     = column->work;
    const sg_column_setup *s     = &w->setup;
    size_t                 n_lay = column->n_lay, n_lev = n_lay + 1;
    *n_done                      = 0;
    for (size_t step = 0; step < n_steps; step++) {
        size_t n_active = pack(column);
        if (n_active == 0)
            return SG_OK;
        if (sg_poll_due(poll, (double)step, (double)n_steps))
            return sg_fail(error, SG_ERR_INTERRUPTED, NULL, "interrupted after %zu steps; the columns can be run on", step);
        sg_column_state state = {n_active,   n_lay,     w->active,  w->a_p_lay, w->a_p_lev,
                                 w->a_t_lay, w->a_t_lev, w->a_t_sfc, w->a_h2o};
        sg_column_fluxes out  = {w->a_flux[0], w->a_flux[1], w->a_flux[2], w->a_flux[3]};
        step_poll progress = {poll, (double)step, (double)n_steps};
        sg_poll   inner    = {ask_outer, &progress, poll ? poll->last : 0};
        sg_status status   = slot->fluxes(slot->context, &state, &out, poll && poll->call ? &inner : NULL, error);
        if (status != SG_OK)
            return status;
        if (poll)
            poll->last = inner.last;
        for (size_t a = 0; a < n_active; a++)
            for (size_t l = 0; l < n_lev; l++) {
                size_t i   = a * n_lev + l;
                double sum = w->a_flux[0][i] + w->a_flux[1][i] + w->a_flux[2][i] + w->a_flux[3][i];
                if (!(sum - sum == 0))
                    return sg_fail(error, SG_ERR_DIVERGED, "slot", "the flux of column %zu at level %zu is not finite", w->active[a], l);
            }
        if (history)
            for (size_t i = 0; i < column->n_col * SG_COLUMN_N_HISTORY; i++)
                history[step * column->n_col * SG_COLUMN_N_HISTORY + i] = NAN;
        for (size_t a = 0; a < n_active; a++) {
            size_t c = w->active[a];
            for (int k = 0; k < 4; k++)
                memcpy(column->flux[k] + c * n_lev, w->a_flux[k] + a * n_lev, n_lev * sizeof(double));
            residual(column, c, w->x, w->f);
            column->steps[c]++;
            if (history) {
                double *row = history + (step * column->n_col + c) * SG_COLUMN_N_HISTORY;
                row[0]      = column->imbalance[c];
                row[1]      = column->t_sfc[c];
                row[2]      = column->rate[c];
            }
            int balanced = s->surface_heat_capacity <= 0 || fabs(column->imbalance[c]) < s->flux_tolerance;
            if (balanced && column->rate[c] < s->rate_tolerance) {
                column->converged[c] = 1;
                continue;
            }
            column->time[c] += w->dt[c];
            advance(column, c, w->x, w->f);
            column->limited[c] = 0;
            for (size_t i = 0; i < n_lev; i++) {
                double inside = fmin(fmax(w->x[i], s->t_min), s->t_max);
                column->limited[c] |= inside != w->x[i];
                w->x[i] = inside;
            }
            w->n_limited[c] = column->limited[c] ? w->n_limited[c] + 1 : 0;
            memcpy(column->t_lay + c * n_lay, w->x, n_lay * sizeof(double));
            column->t_sfc[c] = w->x[n_lay];
            if (s->relative_humidity)
                humidify(n_lay, w->p_lay + c * n_lay, w->x, w->humidity + c * n_lay, s->h2o_floor, column->h2o + c * n_lay);
        }
        *n_done = step + 1;
    }
    return SG_OK;
}
