/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Adaptive importance sampling on a product grid: Lepage, J. Comput. Phys. 27 (1978) 192, doi:10.1016/0021-9991(78)90004-9, with the
 * damping of Lepage (2021), doi:10.1016/j.jcp.2021.110386. Point i of an iteration depends on the seed, the iteration and i alone:
 * dimension d takes uniform d % 2 of Philox block i ((n_dim + 1) / 2) + d / 2 of the stream of the iteration. Sums are taken per
 * portion of an iteration and added in order, so that the result has the same bits for any number of threads.
 */
#ifndef SG_EVENTS_VEGAS_H
#define SG_EVENTS_VEGAS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/poll.h"

enum { SG_VEGAS_MAX_DIM = 32, SG_VEGAS_MAX_OUT = 8, SG_VEGAS_BLOCK = 256 };
#define SG_VEGAS_STREAM 0x7665676173000000u /* "vegas" */

/* Values of n points; a status other than SG_OK ends the integration. Called from several threads at once if num_threads > 1. */
typedef sg_status (*sg_vegas_integrand)(void *context, size_t n,
                                        const double *x,  /* (n_dim, n) [1], in [0, 1) */
                                        double       *f,  /* (n_out, n); the grid follows the first */
                                        sg_error     *error);

typedef struct sg_vegas {
    size_t             n_dim, n_bins, n_out;
    size_t             n_points, n_iterations;  /* points of each iteration */
    size_t             first_iteration;         /* number of the first: a later call takes other points */
    double             damping;                 /* 0: the grid stays as it is; 1.5 is usual */
    uint64_t           seed;
    int                num_threads;
    sg_vegas_integrand integrand;
    void              *context;
    sg_poll           *poll;
} sg_vegas;

/* An even grid. */
void sg_events_vegas_even(size_t n_dim, size_t n_bins, double *edges /* (n_dim, n_bins + 1) [1] */);

/* Points from uniforms: x in place of u, and the volume per point. */
void sg_events_vegas_map(
    size_t        n_dim, size_t n_bins, size_t n,
    const double *edges,      /* (n_dim, n_bins + 1) [1]            */
    double       *u,          /* (n_dim, n) [1] in: [0, 1), out: x   */
    double       *jacobian,   /* (n) [1]                             */
    uint32_t     *bin);       /* (n_dim, n), or NULL                 */

/* Moves the edges to where each bin holds the same damped share of `square`, smoothed over neighbours. */
void sg_events_vegas_refine(
    size_t        n_dim, size_t n_bins, double damping,
    const double *square,  /* (n_dim, n_bins) sums of (f jacobian)^2 */
    double       *work,    /* (2 n_bins + 1)                         */
    double       *edges);  /* (n_dim, n_bins + 1) [1], updated       */

/* Integrates. SG_ERR_NOT_FINITE names the point at which f is NaN or infinite. The grid is valid after a failure. */
sg_status sg_events_vegas_run(
    const sg_vegas *call,
    double         *edges,   /* (n_dim, n_bins + 1) [1], updated                                            */
    double         *result,  /* (n_iterations, n_out, 2): integral and its variance                         */
    sg_error       *error);

#endif
