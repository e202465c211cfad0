/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The register tile: the one place where matrix products are computed. For hot files only.
 *
 *     c[row][column] = finish( init(row, column) + sum over k of a[row][k] * b[k][column] )
 *
 * Lanes lie along the columns of b. Each element is one chain of vr_fma over k = 0, 1, 2 ... that starts from init,
 * whatever the tile it falls into, so its bits do not depend on the sizes, on its position, or on the width of the
 * vectors. With strides for a and b it serves the forward pass (a = activations, b = weights), the same with lanes
 * along the batch (a = transposed weights, b = activations stored feature by feature), dX = dY W^T, and dW = X^T dY.
 *
 * Accumulators are named variables made by macros: GCC 12 leaves an array of vectors in memory.
 *
 * Use: give names (inline functions or macros) for the start value and for what is done with a result, then call the product:
 *
 *     typedef struct forward { const real *bias; real *y; ptrdiff_t y_row; } forward;
 *     SG_INLINE vr start(const forward *f, size_t row, size_t column, size_t n)
 *     { return sg_tile_load(f->bias + column, n); }
 *     SG_INLINE void end(const forward *f, size_t row, size_t column, vr sum, size_t n)
 *     { sg_tile_store(f->y + (ptrdiff_t)row * f->y_row + column, sum, n); }
 *     SG_TILE_PRODUCT(forward_product, forward, start, end, SG_B_PACKED)
 *     ...
 *     forward_product(&(sg_product){.n_rows = n, .n_cols = n_out, .n_k = n_in, .a = x, ...},
 *                     &(forward){bias, y, n_out});
 *
 * row and column are counted within the product; n is the number of lanes that count (VL except at the right edge), and only
 * those may be stored. The context is copied into local variables, so stores through it cost no reloads.
 */
#ifndef SG_NN_TILE_H
#define SG_NN_TILE_H

#include "base/simd.h"

#define SG_PANEL (2 * VL)  /* columns of one panel: what a tile covers */

/* Operands of one product. Strides are in elements and may be negative. */
typedef struct sg_product {
    size_t      n_rows, n_cols, n_k;
    const real *a;        /* (n_rows, n_k): element (row, k) at a[row * a_row + k * a_k] */
    ptrdiff_t   a_row, a_k;
    const real *b;        /* (n_k, n_cols): element (k, panel p, j) at b[p * b_panel + k * b_k + j], j = 0 .. SG_PANEL-1 */
    ptrdiff_t   b_panel;  /* SG_PANEL for a plain row-major matrix with row stride b_k; n_k * SG_PANEL for packed panels */
    ptrdiff_t   b_k;      /* SG_PANEL for packed panels */
} sg_product;

/* A file may define SG_TILE_MOVED(context, row, column), the context with its pointers moved to a tile, and SG_TILE_AT(place)
 * as 0: then row and column are counted within the tile, and the addresses of its results need no multiplications. */
#ifndef SG_TILE_MOVED
#define SG_TILE_MOVED(context, row, column) (context)
#define SG_TILE_AT(place) (place)
#endif

/* How b ends at the right edge. */
#define SG_B_PACKED 0  /* the last panel is padded to SG_PANEL columns with finite numbers: read in full */
#define SG_B_PLAIN 1   /* nothing may be read beyond column n_cols - 1: masked reads in the last panel   */

/* n is the constant VL away from the right edge. */
SG_INLINE vr sg_tile_load(const real *p, size_t n)
{
    return __builtin_constant_p(n) && n == VL ? vr_load(p) : vr_load_n(p, n);
}
SG_INLINE void sg_tile_store(real *p, vr value, size_t n)
{
    if (__builtin_constant_p(n) && n == VL)
        vr_store(p, value);
    else
        vr_store_n(p, value, n);
}

/* Address of row r of a. Three pointers and two steps in bytes reach twelve rows with the addressing modes of x86,
 * where an index per row would not fit into the integer registers. */
SG_INLINE const real *sg_tile_row(int r, const real *a_0, const real *a_4, const real *a_8, ptrdiff_t step, ptrdiff_t step_3)
{
    const char *base = (const char *)(r < 4 ? a_0 : r < 8 ? a_4 : a_8);
    return (const real *)(r % 4 == 0 ? base : r % 4 == 1 ? base + step : r % 4 == 2 ? base + 2 * step : base + step_3);
}

/* ------------------------------------------------------------------------------------------- lists of rows and vectors */
#define SG_ROWS_1(X, ...) X(0, __VA_ARGS__)
#define SG_ROWS_2(X, ...) SG_ROWS_1(X, __VA_ARGS__) X(1, __VA_ARGS__)
#define SG_ROWS_4(X, ...) SG_ROWS_2(X, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#define SG_ROWS_6(X, ...) SG_ROWS_4(X, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__)
#define SG_ROWS_8(X, ...) SG_ROWS_6(X, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__)
#define SG_ROWS_12(X, ...) SG_ROWS_8(X, __VA_ARGS__) X(8, __VA_ARGS__) X(9, __VA_ARGS__) X(10, __VA_ARGS__) X(11, __VA_ARGS__)

#define SG_VECTORS_1(X, ...) X(0, __VA_ARGS__)
#define SG_VECTORS_2(X, ...) SG_VECTORS_1(X, __VA_ARGS__) X(1, __VA_ARGS__)
#define SG_VECTORS_4(X, ...) SG_VECTORS_2(X, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#define SG_VECTORS_8(X, ...) SG_VECTORS_4(X, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__)

#define SG_TILE_LANES(v, V, LAST) ((v) == (V) - 1 ? (LAST) : (size_t)VL)

#define SG_TILE_START(v, r, V, START, LAST) \
    vr acc_##r##_##v = START(&c, SG_TILE_AT(row) + (r), SG_TILE_AT(column) + (size_t)(v) * VL, SG_TILE_LANES(v, V, LAST));
#define SG_TILE_START_ROW(r, V, START, LAST) SG_VECTORS_##V(SG_TILE_START, r, V, START, LAST)

#define SG_TILE_READ_B(v, V, READ) \
    const vr b_##v = sg_tile_load(b + (ptrdiff_t)((v) / 2) * b_panel + (v) % 2 * VL, SG_TILE_LANES(v, V, READ));
#define SG_TILE_FMA(v, r) acc_##r##_##v = vr_fma(x_##r, b_##v, acc_##r##_##v);
#define SG_TILE_FMA_ROW(r, V)                                               \
    const vr x_##r = vr_set1(*sg_tile_row(r, a_0, a_4, a_8, step, step_3)); \
    SG_VECTORS_##V(SG_TILE_FMA, r)

#define SG_TILE_END(v, r, V, END, LAST) \
    END(&c, SG_TILE_AT(row) + (r), SG_TILE_AT(column) + (size_t)(v) * VL, acc_##r##_##v, SG_TILE_LANES(v, V, LAST));
#define SG_TILE_END_ROW(r, V, END, LAST) SG_VECTORS_##V(SG_TILE_END, r, V, END, LAST)

/* One tile of R rows and V vectors. LAST: lanes that count in the last vector; READ: lanes of it that may be read from b. */
#define SG_TILE(name, R, V, CONTEXT, START, AHEAD, END, LAST, READ)                                                    \
    static __attribute__((noinline)) void name(const sg_product *p, const CONTEXT *context, size_t row, size_t column, \
                                               size_t lanes)                                                           \
    {                                                                                                                  \
        const CONTEXT   c = SG_TILE_MOVED(*context, row, column);                                                      \
        const ptrdiff_t a_row = p->a_row, a_k = p->a_k, b_k = p->b_k, b_panel = p->b_panel;                            \
        const ptrdiff_t step = a_row * (ptrdiff_t)sizeof(real), step_3 = 3 * step;                                     \
        const real     *a_0 = p->a + (ptrdiff_t)row * a_row, *a_4 = a_0, *a_8 = a_0;                                   \
        const real     *b = p->b + (ptrdiff_t)(column / SG_PANEL) * b_panel;                                           \
        (void)lanes, (void)b_panel, (void)step, (void)step_3;                                                          \
        if ((R) > 4)                                                                                                   \
            a_4 += 4 * a_row;                                                                                          \
        if ((R) > 8)                                                                                                   \
            a_8 += 8 * a_row;                                                                                          \
        SG_ROWS_##R(SG_TILE_START_ROW, V, START, LAST)                                                                 \
        for (size_t k = p->n_k; k; k--) {                                                                              \
            SG_VECTORS_##V(SG_TILE_READ_B, V, READ)                                                                    \
            SG_ROWS_##R(SG_TILE_FMA_ROW, V)                                                                            \
            AHEAD(&c, SG_TILE_AT(row), SG_TILE_AT(column), k, (size_t)(R), (size_t)(V));                               \
            a_0 += a_k, a_4 += a_k, a_8 += a_k, b += b_k;                                                              \
        }                                                                                                              \
        SG_ROWS_##R(SG_TILE_END_ROW, V, END, LAST)                                                                     \
    }

/* Tiles of R rows over one panel: all of it, its right edge in the second vector, its right edge in the first vector. */
#define SG_TILE_ROWS(name, R, CONTEXT, START, AHEAD, END, READ)                                     \
    SG_TILE(name##_##R##x2, R, 2, CONTEXT, START, AHEAD, END, (size_t)VL, (size_t)VL)               \
    SG_TILE(name##_##R##x2_edge, R, 2, CONTEXT, START, AHEAD, END, lanes, READ)                     \
    SG_TILE(name##_##R##x1_edge, R, 1, CONTEXT, START, AHEAD, END, lanes, READ)                     \
    static inline void name##_##R(const sg_product *p, const CONTEXT *c, size_t row, size_t column) \
    {                                                                                               \
        size_t n = p->n_cols - column;                                                              \
        if (n >= SG_PANEL)                                                                          \
            name##_##R##x2(p, c, row, column, VL);                                                  \
        else if (n > VL)                                                                            \
            name##_##R##x2_edge(p, c, row, column, n - VL);                                         \
        else                                                                                        \
            name##_##R##x1_edge(p, c, row, column, n);                                              \
    }

/* Tile heights: as many accumulators as the register file holds beside two vectors of b and a broadcast of a. */
#if defined(SG_VECTOR_BYTES) /* 128-bit vectors, two instructions for a multiply-add, copies for a broadcast */
#define SG_TILE_HEIGHT 4
#define SG_TILE_HEIGHTS(X, ...) X(4, __VA_ARGS__) X(2, __VA_ARGS__) X(1, __VA_ARGS__)
#elif VL * SG_REAL_BITS == 512 /* 32 registers */
#define SG_TILE_HEIGHT 12
#define SG_TILE_HEIGHTS(X, ...) X(12, __VA_ARGS__) X(8, __VA_ARGS__) X(4, __VA_ARGS__) X(2, __VA_ARGS__) X(1, __VA_ARGS__)
#else /* 16 registers */
#define SG_TILE_HEIGHT 6
#define SG_TILE_HEIGHTS(X, ...) X(6, __VA_ARGS__) X(4, __VA_ARGS__) X(2, __VA_ARGS__) X(1, __VA_ARGS__)
#endif

#define SG_TILE_ONE_HEIGHT(R, name, CONTEXT, START, AHEAD, END, READ) SG_TILE_ROWS(name, R, CONTEXT, START, AHEAD, END, READ)
#define SG_TILE_RUN_HEIGHT(R, name)          \
    for (; row + (R) <= n_tiled; row += (R)) \
        name##_##R(p, context, row, column);

/* Defines void name(const sg_product *, const CONTEXT *). Panels in the outer loop: one panel of b stays in L1 while
 * the rows of a pass by, so hand over at most about 100 rows at a time. One to three rows left over are taken over
 * several panels at once, because two or four accumulators do not cover the latency of the multiply-add; a batch of
 * one is that case alone. */
#define SG_TILE_PRODUCT(name, CONTEXT, START, END, B_KIND) \
    SG_TILE_PRODUCT_AHEAD(name, CONTEXT, START, SG_NOTHING_AHEAD, END, B_KIND)

#define SG_NOTHING_AHEAD(c, row, column, k, height, vectors) ((void)0)

/* The same, with AHEAD(&context, row, column, k, height, vectors) called in every step of k, which counts down from
 * n_k to 1, in the tile at (row, column) of height rows: for prefetching what a later tile will write. */
#define SG_TILE_PRODUCT_AHEAD(name, CONTEXT, START, AHEAD, END, B_KIND)                                                \
    SG_TILE_HEIGHTS(SG_TILE_ONE_HEIGHT, name, CONTEXT, START, AHEAD, END, (B_KIND) == SG_B_PLAIN ? lanes : (size_t)VL) \
    SG_TILE(name##_2x4, 2, 4, CONTEXT, START, SG_NOTHING_AHEAD, END, (size_t)VL, (size_t)VL)                           \
    SG_TILE(name##_1x8, 1, 8, CONTEXT, START, SG_NOTHING_AHEAD, END, (size_t)VL, (size_t)VL)                           \
    static void name(const sg_product *p, const CONTEXT *context)                                                      \
    {                                                                                                                  \
        const size_t n_cols = p->n_cols, n_tiled = p->n_rows & ~(size_t)3;                                             \
        for (size_t column = 0; n_tiled && column < n_cols; column += SG_PANEL) {                                      \
            size_t row = 0;                                                                                            \
            SG_TILE_HEIGHTS(SG_TILE_RUN_HEIGHT, name)                                                                  \
        }                                                                                                              \
        size_t row = n_tiled, column = 0;                                                                              \
        if (row + 2 <= p->n_rows) {                                                                                    \
            for (; column + 2 * SG_PANEL <= n_cols; column += 2 * SG_PANEL)                                            \
                name##_2x4(p, context, row, column, VL);                                                               \
            for (; column < n_cols; column += SG_PANEL)                                                                \
                name##_2(p, context, row, column);                                                                     \
            row += 2, column = 0;                                                                                      \
        }                                                                                                              \
        if (row < p->n_rows) {                                                                                         \
            for (; column + 4 * SG_PANEL <= n_cols; column += 4 * SG_PANEL)                                            \
                name##_1x8(p, context, row, column, VL);                                                               \
            for (; column < n_cols; column += SG_PANEL)                                                                \
                name##_1(p, context, row, column);                                                                     \
        }                                                                                                              \
    }

#endif
