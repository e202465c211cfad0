/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Statistics and error measures. Everything is accumulated in double, row after row, without fused operations: the result has
 * the same bits however a sequence of rows is cut into blocks, and on every instruction set. A row of weight 0 takes no part.
 */
#ifndef SG_METRICS_METRICS_H
#define SG_METRICS_METRICS_H

#include <stddef.h>

#include "base/cpu.h"
#include "base/error.h"

/* Running moments of n_col columns; the caller owns the arrays. Start: total = 0, mean = square = product = 0, low = +inf,
 * high = -inf. Variance is square / total[1], covariance product / total[1] (population, not sample, moments). */
typedef struct sg_moments {
    double *total;    /* (2) rows that took part [1], sum of their weights [1] */
    double *mean;     /* (n_col) [x] */
    double *square;   /* (n_col) sum of weight (x - mean)^2 [x^2] */
    double *low;      /* (n_col) least x [x] */
    double *high;     /* (n_col) largest x [x] */
    double *product;  /* (n_col, n_col) sum of weight (x_i - mean_i)(x_j - mean_j), lower triangle; NULL: not wanted */
} sg_moments;

/* Running errors of n_col columns; start: all 0. Bias is sum / total[1] and so on. */
typedef struct sg_errors {
    double *total;     /* (2) rows that took part [1], sum of their weights [1] */
    double *sum;       /* (n_col) sum of weight e [y], e = prediction - truth */
    double *absolute;  /* (n_col) sum of weight |e| [y] */
    double *square;    /* (n_col) sum of weight e^2 [y^2] */
    double *largest;   /* (n_col) largest |e|; NaN once an error was NaN [y] */
} sg_errors;

#define SG_METRICS_TABLE(real)                                                                                        \
    {                                                                                                                 \
        /* West's update, doi:10.1145/359146.359153; weight NULL: all 1. work: 2 n_col doubles, with product only. */  \
        void (*moments)(size_t n_row, size_t n_col, const real *x /* (n_row, n_col) */,                               \
                        const double *weight /* (n_row) >= 0 or NULL */, double *work, sg_moments state);             \
        void (*errors)(size_t n_row, size_t n_col, const real *prediction /* (n_row, n_col) [y] */,                   \
                       const real *truth /* (n_row, n_col) [y] */, const double *weight /* (n_row) >= 0 or NULL */,   \
                       sg_errors state);                                                                              \
        /* |W (x - mean)|^2 of each row with the lower triangle of W; same bits for any n_row, v3 and v4.             \
         * work: SG_DISTANCE_LANES n_col reals. */                                                                    \
        void (*distance)(size_t n_row, size_t n_col, const real *x /* (n_row, n_col) */,                              \
                         const real *mean /* (n_col) */, const real *whitening /* (n_col, n_col) */, real *work,      \
                         real *out /* (n_row) [1] */);                                                                \
    }
#define SG_DISTANCE_LANES 16
typedef struct sg_metrics_f32 SG_METRICS_TABLE(float) sg_metrics_f32;
typedef struct sg_metrics_f64 SG_METRICS_TABLE(double) sg_metrics_f64;

SG_ISA_DECLARE(sg_metrics_f32, sg_metrics_kernels_f32);
SG_ISA_DECLARE(sg_metrics_f64, sg_metrics_kernels_f64);

static inline const sg_metrics_f32 *sg_metrics_f32_now(void) { return SG_ISA_PICK(sg_metrics_kernels_f32, sg_cpu_isa()); }
static inline const sg_metrics_f64 *sg_metrics_f64_now(void) { return SG_ISA_PICK(sg_metrics_kernels_f64, sg_cpu_isa()); }

/* Adds the moments of other rows. Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115. product is merged where
 * both states have one. */
void sg_metrics_moments_merge(size_t n_col, sg_moments state, sg_moments other);

/* Lower triangular W with W C W^T = 1 for C = covariance + ridge diag(covariance): W = L^-1 of the Cholesky factor L. With
 * z = W (x - mean), |z| is the Mahalanobis distance. SG_ERR_VALUE names the column that is constant or a combination of the
 * columns before it. */
sg_status sg_metrics_whitening(
    size_t        n_col,
    const double *covariance, /* (n_col, n_col) [x_i x_j], lower triangle read */
    double        ridge,      /* [1] >= 0 */
    double       *whitening,  /* (n_col, n_col) [1/x], zero above the diagonal */
    sg_error     *error);

/* Percentiles by exact selection, linear between neighbours (NumPy's default). x is reordered. NaN anywhere gives NaN. */
void sg_metrics_percentiles(
    size_t        n,        /* >= 1 */
    size_t        n_percent,
    const double *percent,  /* (n_percent) [%], 0 .. 100 */
    double       *x,        /* (n), reordered */
    double       *out);     /* (n_percent) [x] */

#endif
