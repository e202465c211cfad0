/* SPDX-License-Identifier: BSD-3-Clause */
/* All pairs of rows: GROUP queries at a time against one tile of reference rows, eight vectors of sums. */
#include "metrics/pairs.h"

#include "base/simd.h"
#include "base/vmath.h"

enum {
    TILE    = SG_PAIR_TILE,
    VECTORS = TILE / VL,
    GROUP   = VECTORS < 8 ? 8 / VECTORS : 1,
    CHUNK   = 64  /* tiles that stay in the cache while all queries pass */
};

typedef struct {
    vr sum[GROUP][VECTORS];
} sums;

/* The rows of a group of queries; behind the last query it is repeated. */
typedef struct {
    const real *row[GROUP];
    size_t      n;
} group;

SG_INLINE group group_of(const real *query, size_t n_col, size_t first, size_t n_query)
{
    group g = {.n = n_query - first < GROUP ? n_query - first : GROUP};
    for (size_t i = 0; i < GROUP; i++)
        g.row[i] = query + (first + (i < g.n ? i : g.n - 1)) * n_col;
    return g;
}

SG_INLINE sums zero_sums(void)
{
    sums s;
    for (int q = 0; q < GROUP; q++)
        for (int v = 0; v < VECTORS; v++)
            s.sum[q][v] = vr_zero();
    return s;
}

/* Sums over the columns of (x - y)^2, or of x y where product is set (a constant wherever this is inlined). */
SG_INLINE sums over_columns(const group *g, size_t n_col, const real *tile, int product)
{
    sums s = zero_sums();
    for (size_t j = 0; j < n_col; j++, tile += TILE) {
        vr reference[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++)
            reference[v] = vr_load(tile + v * VL);
#pragma GCC unroll 8
        for (int q = 0; q < GROUP; q++) {
            vr x = vr_set1(g->row[q][j]);
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++) {
                vr d        = vr_sub(x, reference[v]);
                s.sum[q][v] = product ? vr_fma(x, reference[v], s.sum[q][v]) : vr_fma(d, d, s.sum[q][v]);
            }
        }
    }
    return s;
}

static void pack(size_t n, size_t n_col, const real *x, real *tiles)
{
    for (size_t t = 0; t < sg_metrics_tiles(n); t++)
        for (size_t j = 0; j < n_col; j++)
            for (size_t i = 0; i < TILE; i++)
                tiles[(t * n_col + j) * TILE + i] = t * TILE + i < n ? x[(t * TILE + i) * n_col + j] : 0;
}

/* ------------------------------------------------------------------------------------------------------ neighbours */

/* Puts a candidate among the k nearest, which are sorted; it goes behind equal ones. */
static void insert(size_t k, real *square, int64_t *index, real candidate, int64_t row)
{
    size_t at = k - 1;
    for (; at && square[at - 1] > candidate; at--) {
        square[at] = square[at - 1];
        index[at]  = index[at - 1];
    }
    square[at] = candidate;
    index[at]  = row;
}

static void nearest(size_t n_query, size_t n_reference, size_t n_col, size_t k, const real *query, const real *tiles,
                    ptrdiff_t self, real *square, int64_t *index)
{
    size_t n_tile = sg_metrics_tiles(n_reference);
    for (size_t i = 0; i < n_query * k; i++) {
        square[i] = (real)__builtin_inf();
        index[i]  = -1;
    }
    for (size_t chunk = 0; chunk < n_tile; chunk += CHUNK) {
        size_t stop = n_tile - chunk < CHUNK ? n_tile : chunk + CHUNK;
        for (size_t first = 0; first < n_query; first += GROUP) {
            group g = group_of(query, n_col, first, n_query);
            for (size_t t = chunk; t < stop; t++) {
                sums s = over_columns(&g, n_col, tiles + t * n_col * TILE, 0);
                for (size_t q = 0; q < g.n; q++) {
                    real *mine = square + (first + q) * k;
                    for (int v = 0; v < VECTORS; v++) {
                        if (!vm_any(vr_lt(s.sum[q][v], vr_set1(mine[k - 1]))))
                            continue;
                        real lane[VL];
                        vr_store(lane, s.sum[q][v]);
                        for (int i = 0; i < VL; i++) {
                            size_t row = t * TILE + (size_t)(v * VL + i);
                            int    own = self != PTRDIFF_MIN && (ptrdiff_t)row == (ptrdiff_t)(first + q) + self;
                            if (row < n_reference && !own && lane[i] < mine[k - 1])
                                insert(k, mine, index + (first + q) * k, lane[i], (int64_t)row);
                        }
                    }
                }
            }
        }
    }
}

static void within(size_t n_query, size_t n_reference, size_t n_col, const real *query, const real *tiles,
                   const real *square_radius, int64_t *count)
{
    size_t n_tile = sg_metrics_tiles(n_reference);
    for (size_t i = 0; i < n_query; i++)
        count[i] = 0;
    for (size_t chunk = 0; chunk < n_tile; chunk += CHUNK) {
        size_t stop = n_tile - chunk < CHUNK ? n_tile : chunk + CHUNK;
        for (size_t first = 0; first < n_query; first += GROUP) {
            group g    = group_of(query, n_col, first, n_query);
            sums  hits = zero_sums();
            for (size_t t = chunk; t < stop; t++) {
                sums s = over_columns(&g, n_col, tiles + t * n_col * TILE, 0);
                for (int v = 0; v < VECTORS; v++) {
                    vr radius = vr_load(square_radius + t * TILE + v * VL);
                    for (int q = 0; q < GROUP; q++)
                        hits.sum[q][v] = vr_add(hits.sum[q][v],
                                                vr_select(vr_lt(s.sum[q][v], radius), vr_set1(1), vr_zero()));
                }
            }
            for (size_t q = 0; q < g.n; q++)
                for (int v = 0; v < VECTORS; v++)
                    count[first + q] += (int64_t)vr_sum(hits.sum[q][v]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ pair sums */

/* What a chunk of tiles gave joins the sums of each of the TILE lanes in double, the lanes are added at the end in a fixed
 * order: the same bits for any vector length. The sums of the lanes lie behind each other in out for one chunk only, so each
 * query goes through all chunks at once; what stays in the cache is then the group. */
SG_INLINE void sum_pairs(size_t n_query, size_t n_reference, size_t n_col, const real *query, const real *tiles,
                         const real *weight, int polynomial, real scale, real offset, int degree, double *out)
{
    size_t n_tile = sg_metrics_tiles(n_reference);
    for (size_t first = 0; first < n_query; first += GROUP) {
        group  g                 = group_of(query, n_col, first, n_query);
        double lanes[GROUP][TILE] = {{0}};
        for (size_t chunk = 0; chunk < n_tile; chunk += CHUNK) {
            size_t stop = n_tile - chunk < CHUNK ? n_tile : chunk + CHUNK;
            sums   part = zero_sums();
            for (size_t t = chunk; t < stop; t++) {
                const real *tile = tiles + t * n_col * TILE;
                sums        s    = over_columns(&g, n_col, tile, polynomial);
                for (int v = 0; v < VECTORS; v++) {
                    vr w = vr_load(weight + t * TILE + v * VL);
                    for (int q = 0; q < GROUP; q++) {
                        vr f = polynomial ? vr_powi(vr_fma(vr_set1(scale), s.sum[q][v], vr_set1(offset)), degree)
                                          : vr_sqrt(s.sum[q][v]);
                        part.sum[q][v] = vr_fma(w, f, part.sum[q][v]);
                    }
                }
            }
            for (int q = 0; q < GROUP; q++) {
                real lane[TILE];
                for (int v = 0; v < VECTORS; v++)
                    vr_store(lane + v * VL, part.sum[q][v]);
                for (int i = 0; i < TILE; i++)
                    lanes[q][i] += (double)lane[i];
            }
        }
        for (size_t q = 0; q < g.n; q++) {
            for (int half = TILE / 2; half; half /= 2)
                for (int i = 0; i < half; i++)
                    lanes[q][i] += lanes[q][i + half];
            out[first + q] = lanes[q][0];
        }
    }
}

static void distance_sum(size_t n_query, size_t n_reference, size_t n_col, const real *query, const real *tiles,
                         const real *weight, double *out)
{
    sum_pairs(n_query, n_reference, n_col, query, tiles, weight, 0, 0, 0, 0, out);
}

static void polynomial_sum(size_t n_query, size_t n_reference, size_t n_col, const real *query, const real *tiles,
                           const real *weight, real scale, real offset, int degree, double *out)
{
    sum_pairs(n_query, n_reference, n_col, query, tiles, weight, 1, scale, offset, degree, out);
}

static void project(size_t n, size_t n_col, const real *columns, const double *direction, double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = 0;
    for (size_t j = 0; j < n_col; j++) {
        const real *x = columns + j * n;
        double      d = direction[j];
        for (size_t i = 0; i < n; i++)
            out[i] += d * (double)x[i];
    }
}

#if SG_REAL_IS_FLOAT
const sg_pairs_f32 SG_HOT(sg_pairs_kernels) = {
#else
const sg_pairs_f64 SG_HOT(sg_pairs_kernels) = {
#endif
    .pack           = pack,
    .nearest        = nearest,
    .within         = within,
    .distance_sum   = distance_sum,
    .polynomial_sum = polynomial_sum,
    .project        = project,
};
