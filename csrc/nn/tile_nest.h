/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The register tile of tile.h with a nest of loops around k, for convolutions: the terms of a sum lie in runs
 * of n_k elements whose starts are given by three outer counters,
 *
 *     c[row][column] = start[row][column] + sum over i (three counters) and k of
 *                      a[row][i, k] * b[i, k][column]
 *
 * so that the fields are read where they are. Each element is one chain of vr_fma in the order of the loops,
 * whatever tile it falls into. Rows are spread evenly over tiles (30 rows are two tiles of 15), because lines
 * of a field are short. For hot files only.
 */
#ifndef SG_NN_TILE_NEST_H
#define SG_NN_TILE_NEST_H

#include "nn/tile.h"

typedef struct sg_nest {
    size_t n_rows, n_cols;
    size_t n[3], n_k; /* loop counts, outermost first; 0 leaves the start value */
    /* Element (row, i, k) of a is at a[row * a_row + sum of i[j] * a_step[j] + k * a_k]; likewise b, whose
     * columns lie side by side. Nothing is read beyond n_cols. */
    const real *a;
    ptrdiff_t   a_row, a_k, a_step[3];
    const real *b;
    ptrdiff_t   b_k, b_step[3];
    /* Element (row, column) is at start[row * start_row + column * start_col]; one number for all: both 0. */
    const real *start;
    ptrdiff_t   start_row;
    int         start_col; /* 0 or 1 */
    int         add;       /* add the sums to c instead of overwriting it */
    real       *c;         /* (row, column) at c[row * c_row + column]    */
    ptrdiff_t   c_row;
} sg_nest;

/* ---------------------------------------------------------------------------------------- rows 0 .. R-1 */
#define SG_NEST_ROWS_1(X, ...) X(0, __VA_ARGS__)
#define SG_NEST_ROWS_2(X, ...) SG_NEST_ROWS_1(X, __VA_ARGS__) X(1, __VA_ARGS__)
#define SG_NEST_ROWS_3(X, ...) SG_NEST_ROWS_2(X, __VA_ARGS__) X(2, __VA_ARGS__)
#define SG_NEST_ROWS_4(X, ...) SG_NEST_ROWS_3(X, __VA_ARGS__) X(3, __VA_ARGS__)
#define SG_NEST_ROWS_5(X, ...) SG_NEST_ROWS_4(X, __VA_ARGS__) X(4, __VA_ARGS__)
#define SG_NEST_ROWS_6(X, ...) SG_NEST_ROWS_5(X, __VA_ARGS__) X(5, __VA_ARGS__)
#define SG_NEST_ROWS_7(X, ...) SG_NEST_ROWS_6(X, __VA_ARGS__) X(6, __VA_ARGS__)
#define SG_NEST_ROWS_8(X, ...) SG_NEST_ROWS_7(X, __VA_ARGS__) X(7, __VA_ARGS__)
#define SG_NEST_ROWS_9(X, ...) SG_NEST_ROWS_8(X, __VA_ARGS__) X(8, __VA_ARGS__)
#define SG_NEST_ROWS_10(X, ...) SG_NEST_ROWS_9(X, __VA_ARGS__) X(9, __VA_ARGS__)
#define SG_NEST_ROWS_11(X, ...) SG_NEST_ROWS_10(X, __VA_ARGS__) X(10, __VA_ARGS__)
#define SG_NEST_ROWS_12(X, ...) SG_NEST_ROWS_11(X, __VA_ARGS__) X(11, __VA_ARGS__)
#define SG_NEST_ROWS_13(X, ...) SG_NEST_ROWS_12(X, __VA_ARGS__) X(12, __VA_ARGS__)
#define SG_NEST_ROWS_14(X, ...) SG_NEST_ROWS_13(X, __VA_ARGS__) X(13, __VA_ARGS__)
#define SG_NEST_ROWS_15(X, ...) SG_NEST_ROWS_14(X, __VA_ARGS__) X(14, __VA_ARGS__)
#define SG_NEST_ROWS_16(X, ...) SG_NEST_ROWS_15(X, __VA_ARGS__) X(15, __VA_ARGS__)

/* Lanes of vector v: only the last of a tile may be partly used. */
#define SG_NEST_LANES(v, V, LAST) ((v) == (V) - 1 ? (LAST) : (size_t)VL)

/* Address of row r of a: one pointer for four rows and two steps, as in tile.h. */
#define SG_NEST_ROW(r)                                                                        \
    ((const real *)((const char *)((r) < 4 ? a_0 : (r) < 8 ? a_4 : (r) < 12 ? a_8 : a_12) + \
                    ((r) % 4 == 0 ? 0 : (r) % 4 == 1 ? step : (r) % 4 == 2 ? 2 * step : step_3)))

SG_INLINE vr sg_nest_start(const real *start, int columns, size_t n)
{
    return columns ? sg_tile_load(start, n) : vr_set1(*start);
}

#define SG_NEST_START(v, r, V, LAST)                                                                     \
    vr acc_##r##_##v = sg_nest_start(start + (r) * p->start_row + (v) * VL * p->start_col, p->start_col, \
                                     SG_NEST_LANES(v, V, LAST));
/* What a tile will write is asked for when it starts: stores that miss would keep the next loads waiting. */
#define SG_NEST_START_ROW(r, V, LAST)                               \
    __builtin_prefetch(c + (r) * p->c_row, 1, 2);                   \
    if ((V) * VL * sizeof(real) > 64)                               \
        __builtin_prefetch(c + (r) * p->c_row + ((V) - 1) * VL, 1, 2); \
    SG_VECTORS_##V(SG_NEST_START, r, V, LAST)
#define SG_NEST_READ_B(v, V, LAST) const vr b_##v = sg_tile_load(b + (v) * VL, SG_NEST_LANES(v, V, LAST));
#define SG_NEST_FMA_ROW(r, V)                    \
    const vr x_##r = vr_set1(*SG_NEST_ROW(r)); \
    SG_VECTORS_##V(SG_TILE_FMA, r)
SG_INLINE void sg_nest_end(const sg_nest *p, real *c, vr sum, size_t n)
{
    sg_tile_store(c, p->add ? vr_add(sg_tile_load(c, n), sum) : sum, n);
}
#define SG_NEST_END(v, r, V, LAST) \
    sg_nest_end(p, c + (r) * p->c_row + (v) * VL, acc_##r##_##v, SG_NEST_LANES(v, V, LAST));
#define SG_NEST_END_ROW(r, V, LAST) SG_VECTORS_##V(SG_NEST_END, r, V, LAST)

/* Starts of a and b for one turn of the outer loops. */
#define SG_NEST_OFFSET(step) \
    ((ptrdiff_t)i_0 * p->step[0] + (ptrdiff_t)i_1 * p->step[1] + (ptrdiff_t)i_2 * p->step[2])

#define SG_NEST_TILE(name, R, V, LAST)                                                               \
    static __attribute__((noinline)) void name(const sg_nest *p, const real *a, const real *b_first, \
                                               const real *start, real *c, size_t lanes)             \
    {                                                                                                \
        const ptrdiff_t a_row = p->a_row, a_k = p->a_k, b_k = p->b_k;                                \
        const ptrdiff_t step = a_row * (ptrdiff_t)sizeof(real), step_3 = 3 * step;                   \
        (void)lanes, (void)step, (void)step_3;                                                       \
        SG_NEST_ROWS_##R(SG_NEST_START_ROW, V, LAST)                                                 \
        for (size_t i_0 = 0; i_0 < p->n[0]; i_0++)                                                   \
            for (size_t i_1 = 0; i_1 < p->n[1]; i_1++)                                               \
                for (size_t i_2 = 0; i_2 < p->n[2]; i_2++) {                                         \
                    const real *a_0 = a + SG_NEST_OFFSET(a_step), *b = b_first + SG_NEST_OFFSET(b_step); \
                    const real *a_4 = (R) > 4 ? a_0 + 4 * a_row : a_0;                               \
                    const real *a_8 = (R) > 8 ? a_0 + 8 * a_row : a_0;                               \
                    const real *a_12 = (R) > 12 ? a_0 + 12 * a_row : a_0;                            \
                    for (size_t k = p->n_k; k; k--) {                                                \
                        SG_VECTORS_##V(SG_NEST_READ_B, V, LAST)                                      \
                        SG_NEST_ROWS_##R(SG_NEST_FMA_ROW, V)                                         \
                        a_0 += a_k, a_4 += a_k, a_8 += a_k, a_12 += a_k, b += b_k;                   \
                    }                                                                                \
                }                                                                                    \
        SG_NEST_ROWS_##R(SG_NEST_END_ROW, V, LAST)                                                   \
    }

/* Heights: as many accumulators as registers hold; below, every height, so that rows can be spread evenly. */
#if defined(SG_VECTOR_BYTES)
#define SG_NEST_HEIGHTS_1(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
#define SG_NEST_HEIGHTS_2(X) X(1, 2) X(2, 2) X(3, 2) X(4, 2)
#define SG_NEST_MOST_1 4
#define SG_NEST_MOST_2 4
#elif VL * SG_REAL_BITS == 512
#define SG_NEST_HEIGHTS_1(X)                                        \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) \
    X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1) X(15, 1) X(16, 1)
#define SG_NEST_HEIGHTS_2(X) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)
#define SG_NEST_MOST_1 16
#define SG_NEST_MOST_2 12
#else
#define SG_NEST_HEIGHTS_1(X) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1)
#define SG_NEST_HEIGHTS_2(X) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)
#define SG_NEST_MOST_1 12
#define SG_NEST_MOST_2 6
#endif

#define SG_NEST_DEFINE(R, V)                            \
    SG_NEST_TILE(sg_nest_##R##x##V, R, V, (size_t)VL)   \
    SG_NEST_TILE(sg_nest_##R##x##V##_edge, R, V, lanes)
SG_NEST_HEIGHTS_1(SG_NEST_DEFINE)
SG_NEST_HEIGHTS_2(SG_NEST_DEFINE)

typedef void sg_nest_tile(const sg_nest *, const real *, const real *, const real *, real *, size_t);
/* One or two rows over several panels at once: fewer accumulators do not cover the latency of the
 * multiply-add. */
#define SG_NEST_WIDE(X) X(1, 8) X(2, 4)
SG_NEST_WIDE(SG_NEST_DEFINE)

#define SG_NEST_ENTRY(R, V) [R] = {sg_nest_##R##x##V, sg_nest_##R##x##V##_edge},
static sg_nest_tile *const sg_nest_tiles_1[SG_NEST_MOST_1 + 1][2] = {SG_NEST_HEIGHTS_1(SG_NEST_ENTRY)};
static sg_nest_tile *const sg_nest_tiles_2[SG_NEST_MOST_2 + 1][2] = {SG_NEST_HEIGHTS_2(SG_NEST_ENTRY)};

static void sg_nest_at(sg_nest_tile *tile, const sg_nest *p, size_t row, size_t column, size_t lanes)
{
    tile(p, p->a + (ptrdiff_t)row * p->a_row, p->b + column,
         p->start + (ptrdiff_t)row * p->start_row + (ptrdiff_t)column * p->start_col,
         p->c + (ptrdiff_t)row * p->c_row + column, lanes);
}

/* Columns column .. of all rows, in tiles of two vectors or of one. */
static void sg_nest_columns(const sg_nest *p, size_t column)
{
    const size_t n_rows = p->n_rows;
    for (; column < p->n_cols; column += SG_PANEL) {
        const size_t left  = p->n_cols - column, two = left > VL;
        const size_t lanes = left >= SG_PANEL ? VL : two ? left - VL : left;
        const size_t most = two ? SG_NEST_MOST_2 : SG_NEST_MOST_1, n_tiles = (n_rows + most - 1) / most;
        sg_nest_tile *const(*tiles)[2] = two ? sg_nest_tiles_2 : sg_nest_tiles_1;
        for (size_t t = 0; t < n_tiles; t++) {
            const size_t row = t * n_rows / n_tiles, height = (t + 1) * n_rows / n_tiles - row;
            sg_nest_at(tiles[height][lanes != VL], p, row, column, lanes);
        }
    }
}

static void sg_nest_run(const sg_nest *p)
{
    size_t column = 0;
    if (p->n_rows <= 2) {
        const size_t        wide     = p->n_rows == 1 ? 8 : 4;
        sg_nest_tile *const tiles[2] = {p->n_rows == 1 ? sg_nest_1x8 : sg_nest_2x4,
                                        p->n_rows == 1 ? sg_nest_1x8_edge : sg_nest_2x4_edge};
        while (p->n_cols - column > (wide - 1) * VL) {
            const size_t left = p->n_cols - column, lanes = left >= wide * VL ? VL : left - (wide - 1) * VL;
            sg_nest_at(tiles[lanes != VL], p, 0, column, lanes);
            if (left <= wide * VL)
                return;
            column += wide * VL;
        }
    }
    sg_nest_columns(p, column);
}

#endif
