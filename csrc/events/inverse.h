/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Draws from a density in one variable without rejection: the inverse of its cumulative as a table. The range is cut into k intervals,
 * finer where the density varies or is large. One uniform number chooses the interval by the alias method (Walker 1977,
 * doi:10.1145/355744.355749), a second one the place in it: a cubic of that number, whose slopes at both ends are those of the inverse.
 * An interval within which the density varies by a factor exp(0.1) is followed to about 1e-5 of its width.
 *
 * Below the first point of the grid the density may go on as a power law without end, exp(power y): an interval of its own.
 *
 * A table of k intervals is SG_INVERSE_SIZE(k) numbers: k shares of an interval kept, k intervals to go to otherwise, k times each of the
 * coefficients c0 .. c3 of y = c0 + c1 v + c2 v^2 + c3 v^3, and 1 / power. Draws: events/inverse_draw.h.
 */
#ifndef SG_EVENTS_INVERSE_H
#define SG_EVENTS_INVERSE_H

#include <stddef.h>

enum { SG_INVERSE_GRID = 1024, SG_INVERSE_MOST = 512 };  /* points of a grid and intervals at most */
#define SG_INVERSE_SIZE(k) (6 * (k) + 1)

typedef double (*sg_density)(const void *context, double y);

/* Integral of a density from a to b by Gauss and Legendre's rule of five points; *rough: of three. */
double sg_events_gauss(double a, double b, sg_density density, const void *context, double *rough);

/* Fills the table and returns the integral of the density. */
double sg_events_inverse(
    size_t        n,        /* points of the grid, 2 .. SG_INVERSE_GRID                                              */
    const double *grid,     /* (n) increasing; fine enough to see where the density varies                           */
    sg_density    density,  /* > 0 on the grid                                                                       */
    const void   *context,
    double        power,    /* below grid[0]: density ~ exp(power y); 0: nothing                                     */
    size_t        k,        /* intervals, a power of two of at most SG_INVERSE_MOST                                  */
    double       *table);   /* (SG_INVERSE_SIZE(k))                                                                  */

#endif
