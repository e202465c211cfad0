/* SPDX-License-Identifier: BSD-3-Clause */
/* What operators do with the tile of tile.h: where a product goes, what it starts from, and matrices in
 * panels. A hot file makes the products it needs with SG_TILE_PRODUCT(name, sg_target, sg_start_bias,
 * sg_store_result, SG_B_PACKED) and the like. */
#ifndef SG_NN_PRODUCTS_H
#define SG_NN_PRODUCTS_H

#include "nn/tile.h"

typedef struct sg_target {
    const real *bias; /* (n_cols), for sg_start_bias              */
    real       *c;    /* element (row, column) at c[row * c_row + column] */
    ptrdiff_t   c_row;
} sg_target;

SG_INLINE vr sg_start_bias(const sg_target *t, size_t row, size_t column, size_t n)
{
    (void)row;
    return sg_tile_load(t->bias + column, n);
}
SG_INLINE vr sg_start_zero(const sg_target *t, size_t row, size_t column, size_t n)
{
    (void)t, (void)row, (void)column, (void)n;
    return vr_zero();
}
SG_INLINE vr sg_start_there(const sg_target *t, size_t row, size_t column, size_t n)
{
    return sg_tile_load(t->c + (ptrdiff_t)row * t->c_row + column, n);
}
SG_INLINE void sg_store_result(const sg_target *t, size_t row, size_t column, vr sum, size_t n)
{
    sg_tile_store(t->c + (ptrdiff_t)row * t->c_row + column, sum, n);
}

/* a (n_rows, n_k) times b in panels, both as they come; a_row: elements from one row of a to the next. */
SG_INLINE sg_product sg_product_packed(size_t n_rows, size_t n_cols, size_t n_k, const real *a, size_t a_row,
                                       const real *panels)
{
    const ptrdiff_t panel = (ptrdiff_t)(n_k * SG_PANEL);
    return (sg_product){n_rows, n_cols, n_k, a, (ptrdiff_t)a_row, 1, panels, panel, SG_PANEL};
}

/* The same with a plain matrix b. */
SG_INLINE sg_product sg_product_plain(size_t n_rows, size_t n_cols, size_t n_k, const real *a, size_t a_row,
                                      const real *b, size_t b_row)
{
    return (sg_product){n_rows, n_cols, n_k, a, (ptrdiff_t)a_row, 1, b, SG_PANEL, (ptrdiff_t)b_row};
}

/* a^T b of plain matrices a (n_k, n_rows) and b (n_k, n_cols): gradients of weights, k being rows of data. */
SG_INLINE sg_product sg_product_transposed(size_t n_rows, size_t n_cols, size_t n_k, const real *a,
                                           size_t a_row, const real *b, size_t b_row)
{
    return (sg_product){n_rows, n_cols, n_k, a, 1, (ptrdiff_t)a_row, b, SG_PANEL, (ptrdiff_t)b_row};
}

/* The matrix with element (k, j) at from[k * from_k + j * from_j] as the packed b of a product, padded with
 * zeros. */
static inline void sg_panels_pack(size_t n_k, size_t n_cols, const real *from, ptrdiff_t from_k,
                                  ptrdiff_t from_j, real *to)
{
    for (size_t first = 0; first < n_cols; first += SG_PANEL, from += SG_PANEL * from_j) {
        const size_t n = n_cols - first < SG_PANEL ? n_cols - first : SG_PANEL;
        for (size_t k = 0; k < n_k; k++, to += SG_PANEL) {
            for (size_t j = 0; j < n; j++)
                to[j] = from[(ptrdiff_t)k * from_k + (ptrdiff_t)j * from_j];
            for (size_t j = n; j < SG_PANEL; j++)
                to[j] = 0;
        }
    }
}

#endif
