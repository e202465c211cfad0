/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/dilepton.h"

#include <math.h>
#include <stdlib.h>

#define PI        3.14159265358979323846
#define ZETA2     1.64493406684822643647
#define ZETA3     1.20205690315959428540
#define ALPHA0    (1 / 137.035999084)
#define ELECTRON  0.51099895e-3     /* [GeV] */
#define NANOBARN  389379.3721       /* (hbar c)^2 [nb GeV^2] */
#define SOFTEST   -69.0775527898214 /* ln(1e-30): the radiator below is its power law to rounding */
#define SHARELESS -138.155105579643 /* ln(1e-60), likewise of the share */

void sg_events_dilepton_born(const sg_dilepton *p, double s, double *g1, double *g3)
{
    double v2 = (2 * p->sin2 - 0.5) * (2 * p->sin2 - 0.5), a2 = 0.25;
    double d = (s - p->mass * p->mass), w = p->width * (p->running ? s / p->mass : p->mass), norm = d * d + w * w;
    double real = p->kappa * s * d / norm, square = p->kappa * p->kappa * s * s / norm;
    *g1 = 1 + 2 * v2 * real + (v2 + a2) * (v2 + a2) * square;
    *g3 = 2 * a2 * real + 4 * v2 * a2 * square;
}

/* Cross-section [nb] and, if asked for, its forward-backward difference [nb]. */
static double born(const sg_dilepton *p, double s, double *difference)
{
    double g1, g3, norm = 4 * PI * p->alpha * p->alpha / (3 * s) * NANOBARN;
    sg_events_dilepton_born(p, s, &g1, &g3);
    if (difference)
        *difference = norm * 0.75 * g3;
    return norm * g1;
}

typedef struct {
    const sg_dilepton *process;
    int                order;
    double             s, beta, soft; /* soft: 1 + d1 + d2 */
} radiation;

static radiation radiation_at(const sg_dilepton *process, int order, double s)
{
    double    l = log(s / (ELECTRON * ELECTRON)), a = ALPHA0 / PI;
    radiation r = {process, order, s, 2 * a * (l - 1), 1 + a * (1.5 * l + PI * PI / 3 - 2)};
    if (order > 1)
        r.soft += a * a * ((9. / 8 - 2 * ZETA2) * l * l - (45. / 16 - 5.5 * ZETA2 - 3 * ZETA3) * l - 1.2 * ZETA2 * ZETA2 - 4.5 * ZETA3 -
                           6 * ZETA2 * log(2) + 0.375 * ZETA2 + 57. / 12);
    return r;
}

/* x H and 1 - x, from ln(x). */
static double radiator(const radiation *r, double log_x, double *rest)
{
    double x = exp(log_x), z = -expm1(log_x), log_z = x < 0.5 ? log1p(-x) : log(z), hard = -r->beta * (1 - 0.5 * x);
    if (r->order > 1)
        hard += r->beta * r->beta / 8 * ((2 - x) * (3 * log_z - 4 * log_x) - 4 * log_z / x - 6 + x);
    *rest = z;
    return r->beta * exp(r->beta * log_x) * r->soft + x * hard;
}

double sg_events_radiator(int order, double s, double x)
{
    radiation r = radiation_at(NULL, order, s);
    double    rest;
    return radiator(&r, log(x), &rest) / x;
}

static double radiated(const void *context, double log_x)
{
    const radiation *r = context;
    double           z, h = radiator(r, log_x, &z);
    return h * born(r->process, r->s * z, NULL);
}

static double radiated_difference(const void *context, double log_x)
{
    const radiation *r = context;
    double           z, difference, h = radiator(r, log_x, &z);
    born(r->process, r->s * z, &difference);
    return h * difference;
}

static double shared(const void *context, double log_share)
{
    double a = *(const double *)context;
    return exp(a * log_share + (a - 1) * log1p(-exp(log_share)));
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Points in ln(x) that see the soft end, the resonance and the pole of the photon; returns how many. */
static size_t radiation_grid(const radiation *r, double *grid /* (SG_INVERSE_GRID) */)
{
    const sg_dilepton *p = r->process;
    double smallest = p->least * p->least / r->s, last = log1p(-smallest), scale = p->mass * p->width, m2 = p->mass * p->mass;
    double low = atan((p->least * p->least - m2) / scale), high = atan((r->s - m2) / scale);
    size_t n = 0, m = 1;
    for (int i = 0; i <= 250; i++)
        grid[n++] = SOFTEST + (last - SOFTEST) * i / 250;
    for (int i = 1; i < 400; i++) {
        double x = 1 - (m2 + scale * tan(low + (high - low) * i / 400)) / r->s, z = pow(smallest, i / 400.);
        if (x > 1e-12 && x < 1 - smallest)
            grid[n++] = log(x);
        if (i % 2)
            grid[n++] = log1p(-z);
    }
    qsort(grid, n, sizeof *grid, ascending);
    for (size_t i = 1; i < n; i++)
        if (grid[i] - grid[m - 1] > 1e-9 && grid[i] <= last)
            grid[m++] = grid[i];
    grid[m - 1] = last;
    return m;
}

void sg_events_dilepton_total(const sg_dilepton *p, double energy, double out[3])
{
    double s = energy * energy, difference = 0, total, error = 0;
    if (!p->order) {
        total = born(p, s, &difference);
    } else {
        radiation r = radiation_at(p, p->order, s);
        double    grid[SG_INVERSE_GRID], rough;
        size_t    n = radiation_grid(&r, grid);
        total       = radiated(&r, grid[0]) / r.beta;
        difference  = radiated_difference(&r, grid[0]) / r.beta;
        for (size_t i = 1; i < n; i++) {
            double part = sg_events_gauss(grid[i - 1], grid[i], radiated, &r, &rough);
            total += part;
            error += fabs(part - rough);
            difference += sg_events_gauss(grid[i - 1], grid[i], radiated_difference, &r, NULL);
        }
    }
    out[0] = total;
    out[1] = error;
    out[2] = difference / total;
}

void sg_events_dilepton_row(const sg_dilepton *p, double energy, double *row)
{
    radiation r = radiation_at(p, p->order, energy * energy);
    double    grid[SG_INVERSE_GRID], half = r.beta / 2;
    size_t    n = radiation_grid(&r, grid);
    row[SG_RADIATION_TOTAL] = sg_events_inverse(n, grid, radiated, &r, r.beta, SG_RADIATION_INTERVALS, row);
    for (int i = 0; i <= 400; i++)
        grid[i] = SHARELESS + (log(0.5) - SHARELESS) * (1 - (1 - i / 400.) * (1 - i / 400.)); /* denser at one half */
    sg_events_inverse(401, grid, shared, &half, half, SG_SHARE_INTERVALS, row + SG_RADIATION_SHARE);
}

typedef struct {
    const sg_dilepton *process;
    size_t             n_rows;
    const double      *rows;
    double             first, step;
} spread_context;

static double spread_density(const void *context, double offset)
{
    const spread_context *c = context;
    double e = c->process->energy + offset, t = offset / c->process->spread, gauss = exp(-0.5 * t * t), total = 0;
    if (!c->rows)
        return gauss * born(c->process, e * e, NULL);
    /* Lagrange's cubic through four tables */
    double place = e / c->step - c->first, at = fmin(fmax(floor(place) - 1, 0), (double)c->n_rows - 4);
    for (int i = 0; i < 4; i++) {
        double weight = 1;
        for (int j = 0; j < 4; j++)
            if (j != i)
                weight *= (place - at - j) / (i - j);
        total += weight * c->rows[((size_t)at + (size_t)i) * SG_RADIATION_ROW + SG_RADIATION_TOTAL];
    }
    return gauss * total;
}

void sg_events_dilepton_spread(const sg_dilepton *p, size_t n_rows, const double *rows, double first, double step, double *table)
{
    spread_context c = {p, n_rows, rows, first, step};
    double         grid[501];
    for (int i = 0; i <= 500; i++)
        grid[i] = SG_SPREAD_RANGE * p->spread * (i - 250) / 250;
    sg_events_inverse(501, grid, spread_density, &c, 0, SG_SPREAD_INTERVALS, table);
}
