/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/inverse.h"

#include <math.h>

double sg_events_gauss(double a, double b, sg_density density, const void *context, double *rough)
{
    static const double place[] = {0.5384693101056831, 0.9061798459386640}, place3 = 0.7745966692414834;
    static const double weight[] = {0.5688888888888889, 0.4786286704993665, 0.2369268850561891};
    double middle = 0.5 * (a + b), half = 0.5 * (b - a), centre = density(context, middle), sum = weight[0] * centre;
    for (int i = 0; i < 2; i++)
        sum += weight[i + 1] * (density(context, middle - half * place[i]) + density(context, middle + half * place[i]));
    if (rough)
        *rough = half / 9 * (8 * centre + 5 * (density(context, middle - half * place3) + density(context, middle + half * place3)));
    return half * sum;
}

/* Shares p (k) of a sum to those kept and where the rest goes. */
static void alias(size_t k, const double *p, double sum, double *keep, double *other)
{
    size_t low[SG_INVERSE_MOST], high[SG_INVERSE_MOST], n_low = 0, n_high = 0;
    for (size_t i = 0; i < k; i++) {
        keep[i]  = p[i] / sum * (double)k;
        other[i] = (double)i;
        if (keep[i] < 1)
            low[n_low++] = i;
        else
            high[n_high++] = i;
    }
    while (n_low && n_high) {
        size_t l = low[--n_low], h = high[n_high - 1];
        other[l] = (double)h;
        keep[h] -= 1 - keep[l];
        if (keep[h] < 1) {
            n_high--;
            low[n_low++] = h;
        }
    }
    /* What rounding leaves over is as good as full. */
    while (n_low)
        keep[low[--n_low]] = 1;
    while (n_high)
        keep[high[--n_high]] = 1;
}

double sg_events_inverse(size_t n, const double *grid, sg_density density, const void *context, double power, size_t k, double *table)
{
    double height[SG_INVERSE_GRID], way[SG_INVERSE_GRID], share[SG_INVERSE_MOST], knot[SG_INVERSE_MOST + 1];
    double area = 0, range = grid[n - 1] - grid[0];
    for (size_t i = 0; i < n; i++) {
        height[i] = fmax(density(context, grid[i]), 1e-300);
        if (i)
            area += 0.5 * (height[i] + height[i - 1]) * (grid[i] - grid[i - 1]);
    }
    /* Knots at equal ways along the density: how much its logarithm varies, how much it is curved (which counts where it turns), and
     * its integral. */
    double before = 0;
    way[0]        = 0;
    for (size_t i = 1; i < n; i++) {
        double step = grid[i] - grid[i - 1], rise = log(height[i] / height[i - 1]), slope = rise / step;
        way[i] = way[i - 1] + fabs(rise) + 4 * (0.5 * (height[i] + height[i - 1]) * step / area) + 2 * step / range;
        if (i > 1)
            way[i] += sqrt(fabs(slope - before) * step);
        before = slope;
    }
    size_t soft = power > 0, inside = k - soft;
    for (size_t j = 0, i = 1; j <= inside; j++) {
        double goal = way[n - 1] * (double)j / (double)inside;
        while (i < n - 1 && way[i] < goal)
            i++;
        knot[j] = grid[i - 1] + (grid[i] - grid[i - 1]) * (goal - way[i - 1]) / (way[i] - way[i - 1]);
    }
    knot[0] = grid[0], knot[inside] = grid[n - 1];

    double *c = table + 2 * k, sum = 0;
    if (soft) {
        share[0] = density(context, grid[0]) / power;
        c[0] = grid[0], c[k] = c[2 * k] = c[3 * k] = 0;
        sum = share[0];
    }
    table[6 * k] = soft ? 1 / power : 0;
    for (size_t j = 0; j < inside; j++) {
        size_t i     = j + soft;
        double width = knot[j + 1] - knot[j];
        share[i]     = sg_events_gauss(knot[j], knot[j + 1], density, context, NULL);
        sum += share[i];
        /* Slopes of the inverse; beyond three times the mean a cubic would turn back. */
        double first = fmin(share[i] / density(context, knot[j]), 3 * width);
        double last  = fmin(share[i] / density(context, knot[j + 1]), 3 * width);
        c[i]         = knot[j];
        c[k + i]     = first;
        c[2 * k + i] = 3 * width - 2 * first - last;
        c[3 * k + i] = first + last - 2 * width;
    }
    alias(k, share, sum, table, table + k);
    return sum;
}
