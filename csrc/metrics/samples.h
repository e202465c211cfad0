/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Two samples of one number, compared through their sorted values. Everything runs in double (float values are exact there) in
 * one fixed order: the same bits on every instruction set.
 */
#ifndef SG_METRICS_SAMPLES_H
#define SG_METRICS_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes of workspace to sort n values. */
size_t sg_metrics_sort_bytes(size_t n);

/* Sorts ascending; equal values keep their order. Least-significant-digit radix sort, 11 bits a pass; a digit that all values
 * share (the low bits of what was float32) costs no pass. */
void sg_metrics_sort(
    size_t  n,
    double *x,         /* (n) [x], no NaN; -0 becomes 0 */
    void   *payload,   /* (n) of 8 bytes each, moved along with x; NULL: none */
    void   *work);     /* sg_metrics_sort_bytes(n) */

typedef struct sg_distances {
    double wasserstein;  /* integral of |F_a - F_b| [x] */
    double cramer;       /* integral of (F_a - F_b)^2 [x] */
    double above;        /* largest F_a - F_b [1], >= 0 */
    double below;        /* largest F_b - F_a [1], >= 0 */
} sg_distances;

/* Distances between the distribution functions of two samples. */
sg_distances sg_metrics_distances(
    size_t        n_a,
    const double *a,          /* (n_a) ascending [x] */
    const double *weight_a,   /* (n_a) >= 0 with a sum above 0, in the order of a; NULL: all 1 */
    size_t        n_b,
    const double *b,          /* (n_b) ascending [x] */
    const double *weight_b);  /* (n_b) or NULL */

/* Cells that sg_metrics_ks_exact has to visit. */
double sg_metrics_ks_cost(size_t n_a, size_t n_b, double statistic);

/* Probability that two samples of one continuous distribution differ by at least `statistic` in the Kolmogorov-Smirnov sense:
 * the share of lattice paths that leave the band, by recursion over the paths' ends (Hodges 1958, doi:10.1007/BF02589501);
 * only sums of positive terms, so small probabilities keep their digits. */
double sg_metrics_ks_exact(
    size_t  n_a,
    size_t  n_b,
    double  statistic,  /* [1] 0 .. 1, a multiple of 1 / (n_a n_b) */
    double *work);      /* (n_b + 1) */

/* Limit of large samples: 2 sum (-1)^(k-1) exp(-2 k^2 z^2) with z = statistic (s + 0.12 + 0.11 / s), s = sqrt(effective size):
 * Stephens 1970, doi:10.1111/j.2517-6161.1970.tb00821.x. */
double sg_metrics_ks_limit(double effective_size, double statistic);

typedef struct sg_auc {
    double auc;    /* [1] */
    double error;  /* standard error [1] */
} sg_auc;

/* Probability that a score of the positives exceeds one of the negatives, ties counted half, and its standard error after
 * DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595; with weights each placement's square carries that of its weight. */
sg_auc sg_metrics_auc(
    size_t        n_positive,
    const double *positive,          /* (n_positive) ascending */
    const double *weight_positive,   /* (n_positive) or NULL */
    size_t        n_negative,
    const double *negative,          /* (n_negative) ascending */
    const double *weight_negative);  /* (n_negative) or NULL */

/* Isotonic regression of y on x by pooling adjacent violators (Ayer et al. 1955, doi:10.1214/aoms/1177728423); rows of equal x
 * are one. Overwrites x, y and weight with the knots of the rising step function; returns their number. Zero weights are
 * allowed where others of the same x, or of the pool, are positive; rows of weight 0 are left out. */
size_t sg_metrics_isotonic(
    size_t  n,
    double *x,       /* (n) ascending, out: knots */
    double *y,       /* (n), out: values at the knots, not falling */
    double *weight,  /* (n) >= 0, overwritten */
    size_t *start);  /* (n + 1) workspace */

/* Bytes of workspace of sg_metrics_frechet. */
size_t sg_metrics_frechet_bytes(size_t n_col);

/* Squared 2-Wasserstein distance of two normal distributions, |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2): Dowson &
 * Landau 1982, doi:10.1016/0047-259X(82)90077-X. LAPACK dsyev. */
sg_status sg_metrics_frechet(
    size_t        n_col,
    const double *mean_a,        /* (n_col) [x] */
    const double *covariance_a,  /* (n_col, n_col) [x^2], symmetric, not negative definite */
    const double *mean_b,        /* (n_col) */
    const double *covariance_b,  /* (n_col, n_col) */
    void         *work,          /* sg_metrics_frechet_bytes(n_col) */
    double       *distance,      /* [x^2] */
    sg_error     *error);

#endif
