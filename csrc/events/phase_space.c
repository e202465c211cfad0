/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/phase_space.h"

#include <math.h>

static double breakup(double M, double a, double b)
{
    return sqrt((M - a - b) * (M + a + b) * (M - a + b) * (M + a - b)) / (2 * M);
}

/* (pi / 2)^(n - 1) E^(2n-4) / ((n - 1)! (n - 2)!) */
static double massless_volume(size_t n, double energy)
{
    return exp((double)(n - 1) * log(M_PI / 2) + (double)(2 * n - 4) * log(energy) - lgamma((double)n) - lgamma((double)n - 1));
}

/* Where the derivative of log v = log(1 - m^2 / E^2) / 2 is `slope`: m^2 / (E (E^2 - m^2)) = slope. */
static double energy_at(double m, double slope)
{
    double low = m, high = m + 2 / slope + 1;
    while (m * m / (high * (high * high - m * m)) > slope)
        high *= 2;
    for (int i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        if (m * m / (middle * (middle * middle - m * m)) > slope)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

/* The largest sum of log v over the massive particles but one whose energies add up to at most `energy`. log v is concave in E, so
 * that every multiplier gives an upper bound, and the best one (bisection) the maximum. */
static double largest_log_speed(const sg_phase_space *space, size_t but)
{
    double energy = space->total - space->mass[but], low = -90, high = 90, bound = 0;
    for (int i = 0; i < 60; i++) {
        double slope = exp(0.5 * (low + high)) / space->total, spent = 0;
        bound = slope * energy;
        for (size_t j = 0; j < space->bodies; j++)
            if (j != but && space->mass[j] > 0) {
                double m = space->mass[j], e = energy_at(m, slope);
                spent += e;
                bound += 0.5 * log1p(-m * m / (e * e)) - slope * e;
            }
        if (spent > energy)
            low = 0.5 * (low + high);
        else
            high = 0.5 * (low + high);
    }
    return fmin(bound, 0);
}

/* With K = sum |k|, v = |k| / E and x = |k| / K the weight of RAMBO is (K / M)^(2n-4) prod v / sum x v. By Minkowski's inequality
 * K <= sqrt(M^2 - (sum m)^2), and sum x v is at least the smallest speed v_j: the rest is at most the product of the others. */
static void rambo_bounds(sg_phase_space *space)
{
    double sum    = space->from[0] / space->total;
    space->shrink = sqrt((1 - sum) * (1 + sum));
    space->speed  = 1;
    if (!space->massive)
        return;
    if (space->bodies == 2) { /* the weight is K / M, always the same */
        space->speed = 2 * breakup(space->total, space->mass[0], space->mass[1]) / space->total;
        return;
    }
    double best = -INFINITY;
    for (size_t j = 0; j < space->bodies; j++)
        best = fmax(best, largest_log_speed(space, j));
    space->speed = exp(best) * (1 + 1e-9);
}

sg_status sg_events_phase_space_prepare(sg_phase_space *space, sg_error *error)
{
    size_t n = space->bodies;
    if (n < 2 || n > SG_BODIES_MAX)
        return sg_fail(error, SG_ERR_VALUE, "masses", "expected 2 to %d particles, got %zu", SG_BODIES_MAX, n);
    if (!isfinite(space->total) || space->total <= 0)
        return sg_fail(error, SG_ERR_VALUE, "mass", "expected a finite mass > 0 GeV, got %g", space->total);
    double sum = 0;
    space->massive = 0;
    for (size_t j = 0; j < n; j++) {
        double m = space->mass[j];
        if (!isfinite(m) || m < 0)
            return sg_fail(error, SG_ERR_VALUE, "masses", "expected finite masses of at least 0 GeV, got %g for particle %zu",
                           m, j);
        space->massive |= m > 0;
        space->before[j] = sum += m;
    }
    if (!(space->total > sum))
        return sg_fail(error, SG_ERR_VALUE, "mass",
                       "the phase space is closed: expected more than the sum of masses %.10g GeV, got %.10g", sum,
                       space->total);
    space->free = space->total - sum;
    for (size_t j = n; j-- > 0;)
        space->from[j] = space->mass[j] + (j + 1 < n ? space->from[j + 1] : 0);
    space->massless = massless_volume(n, space->free);

    /* James, eq. of GENBOD: each system as heavy, and the one it comes from as light, as it can be. */
    double product = 1;
    space->largest[0] = 0;
    for (size_t j = 1; j < n; j++) {
        space->largest[j] = breakup(space->free + space->before[j], space->before[j - 1], space->mass[j]);
        product *= space->largest[j];
    }
    if (space->method == SG_RAUBOLD_LYNCH) {
        space->unit = product / space->total * pow(M_PI, (double)(n - 1));
        for (size_t j = 1; j <= n - 2; j++)
            space->unit *= 2 * space->free / (double)j;
    } else {
        rambo_bounds(space);
        space->speed_unit = pow(space->speed, -1.0 / (double)(n - 1));
        space->unit = massless_volume(n, space->total) * pow(space->shrink, n == 2 ? 0 : (double)(2 * n - 4)) * space->speed;
    }
    return SG_OK;
}
