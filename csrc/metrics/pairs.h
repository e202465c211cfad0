/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sums and searches over all pairs of rows of two samples. The rows of the reference are packed into tiles of SG_PAIR_TILE rows,
 * column after column, so that a vector holds one column of several rows. A squared distance is one chain of fused
 * multiplications over the columns in their order, from the differences: no cancellation, and the same bits for any number of
 * queries and on v3 and v4.
 */
#ifndef SG_METRICS_PAIRS_H
#define SG_METRICS_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

#define SG_PAIR_TILE 16

static inline size_t sg_metrics_tiles(size_t n) { return (n + SG_PAIR_TILE - 1) / SG_PAIR_TILE; }

#define SG_PAIRS_TABLE(real)                                                                                            \
    {                                                                                                                   \
        void (*pack)(size_t n, size_t n_col, const real *x /* (n, n_col) */,                                            \
                     real *tiles /* (tiles of n, n_col, SG_PAIR_TILE), 0 behind the last row */);                       \
        /* The k nearest reference rows of each query, nearest first, of equal ones the first. Reference row i + self    \
         * is left out for query i; with self = PTRDIFF_MIN none is. */                                                 \
        void (*nearest)(size_t n_query, size_t n_reference, size_t n_col, size_t k /* 1 .. */,                          \
                        const real *query /* (n_query, n_col) [x] */, const real *tiles, ptrdiff_t self,                \
                        real *square /* (n_query, k) [x^2], inf where there are too few */,                             \
                        int64_t *index /* (n_query, k), -1 where there are too few */);                                 \
        /* How many reference rows have the query within their own radius. */                                           \
        void (*within)(size_t n_query, size_t n_reference, size_t n_col, const real *query /* (n_query, n_col) */,      \
                       const real *tiles, const real *square_radius /* (tiles, SG_PAIR_TILE) [x^2], -1 behind the last */, \
                       int64_t *count /* (n_query) */);                                                                 \
        /* Sum over the reference rows of weight |query - row|. */                                                      \
        void (*distance_sum)(size_t n_query, size_t n_reference, size_t n_col, const real *query /* (n_query, n_col) */, \
                             const real *tiles, const real *weight /* (tiles, SG_PAIR_TILE), 0 behind the last */,      \
                             double *out /* (n_query) [x] */);                                                          \
        /* Sum over the reference rows of weight (scale query . row + offset)^degree. */                                \
        void (*polynomial_sum)(size_t n_query, size_t n_reference, size_t n_col,                                        \
                               const real *query /* (n_query, n_col) */, const real *tiles,                             \
                               const real *weight /* (tiles, SG_PAIR_TILE), 0 behind the last */, real scale,           \
                               real offset, int degree, double *out /* (n_query) */);                                   \
        /* out = sum over columns of direction x, in double. */                                                         \
        void (*project)(size_t n, size_t n_col, const real *columns /* (n_col, n) */,                                   \
                        const double *direction /* (n_col) */, double *out /* (n) */);                                  \
    }
typedef struct sg_pairs_f32 SG_PAIRS_TABLE(float) sg_pairs_f32;
typedef struct sg_pairs_f64 SG_PAIRS_TABLE(double) sg_pairs_f64;

SG_ISA_DECLARE(sg_pairs_f32, sg_pairs_kernels_f32);
SG_ISA_DECLARE(sg_pairs_f64, sg_pairs_kernels_f64);

static inline const sg_pairs_f32 *sg_pairs_f32_now(void) { return SG_ISA_PICK(sg_pairs_kernels_f32, sg_cpu_isa()); }
static inline const sg_pairs_f64 *sg_pairs_f64_now(void) { return SG_ISA_PICK(sg_pairs_kernels_f64, sg_cpu_isa()); }

#endif
