/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a dense plan: blocks of rows through all layers. See dense.h.
 *
 * The tile of tile.h is used in two ways, with the same bits. "Rows": lanes along the neurons, activations stored row
 * by row [row][ld]; the result goes straight to a row-major output. "Columns": lanes along the batch, activations
 * stored feature by feature [feature][ld], weights broadcast; the result goes straight to a column-major (Fortran)
 * output, to the store hook, and serves networks with fewer outputs than lanes. */
#include <string.h>

#include "nn/dense_plan.h"
#include "nn/lanes.h"

#define SG_TILE_MOVED(context, row, column) moved(context, row, column)
#define SG_TILE_AT(place) ((size_t)0)
#include "nn/tile.h"

#if SG_REAL_IS_FLOAT
typedef sg_dense_input_f32  input_rows;
typedef sg_dense_output_f32 output_rows;
#else
typedef sg_dense_input_f64  input_rows;
typedef sg_dense_output_f64 output_rows;
#endif

/* Rows of a block with lanes along the neurons: their activations take less than half of L1 in layers of 64, and the
 * weights come from L2 seldom enough. With lanes along the batch a block is SG_DENSE_BLOCK rows, three pairs of AVX-512
 * vectors of floats. */
#define ROWS_AT_ONCE ((size_t)48)

/* ----------------------------------------------------------------------------------------------------- one layer */

typedef struct target {
    const real *bias; /* of the first row or column of the product */
    int         by_row; /* biases belong to rows, not to columns */
    real       *y;    /* element (row, column) of the product at y[row * y_row + column] */
    ptrdiff_t   y_row;
    real        parameter;
    const real *next;     /* rows of a to fetch meanwhile, without gaps; or any address */
    ptrdiff_t   next_row; /* from one row of them to the next; 0 for any address */
    size_t      pace;     /* 65536 / n_k */
} target;

/* The target at a tile. */
SG_INLINE target moved(target t, size_t row, size_t column)
{
    t.bias += t.by_row ? row : column;
    t.y += (ptrdiff_t)row * t.y_row + (ptrdiff_t)column;
    t.next += (ptrdiff_t)row * t.next_row;
    return t;
}

SG_INLINE vr start_rows(const target *t, size_t row, size_t column, size_t n)
{
    (void)row, (void)n;
    return vr_load(t->bias + column); /* padded to whole panels */
}
SG_INLINE vr start_columns(const target *t, size_t row, size_t column, size_t n)
{
    (void)column, (void)n;
    return vr_set1(t->bias[row]);
}

/* Fetches the next rows of a, for a first layer with wide rows (4096 rows of 375-64-18: 0.81 -> 0.93 of peak). What an address
 * takes to compute must stay small: there are no registers left in a tile, and GCC keeps what has none in vectors, whose moves
 * take turns with the multiply-adds. */
SG_INLINE void fetch_rows(const target *t, size_t row, size_t column, size_t k, size_t height, size_t vectors)
{
    (void)row, (void)column, (void)vectors;
    __builtin_prefetch(t->next + k * height, 0, 2);
}

/* Fetches the lines of the output that a tile of one of the next blocks will write, one row after the other while this
 * tile counts k down. Without, the stores of a tile come as a burst of misses that keeps the loads of the next tile
 * waiting (4096 rows of 7-64-64-256: 0.79 instead of 0.95 of peak); so does fetching them at once (0.89). Nearer distances
 * cost about as much as none. */
SG_INLINE void fetch_output(const target *t, size_t k, size_t height, size_t rows, size_t columns)
{
    const char *line = (const char *)(t->y + (ptrdiff_t)(rows + ((k * height * t->pace) >> 16)) * t->y_row + columns);
    __builtin_prefetch(line, 1, 2);
    if (SG_PANEL * sizeof(real) > 64)
        __builtin_prefetch(line + 64, 1, 2);
}
SG_INLINE void fetch_last(const target *t, size_t row, size_t column, size_t k, size_t height, size_t vectors)
{
    (void)row, (void)column, (void)vectors;
    fetch_output(t, k, height, ROWS_AT_ONCE, 0);
}
SG_INLINE void fetch_columns(const target *t, size_t row, size_t column, size_t k, size_t height, size_t vectors)
{
    (void)row, (void)column, (void)vectors;
    fetch_output(t, k, height, 0, 2 * SG_PANEL);
}

/* Activations of a few instructions are applied in registers; the others in a pass over the block while it is in L1. */
#define FUSED_ACTIVATIONS(X) X(linear) X(relu) X(leaky_relu) X(softsign) X(tanh)

#define X(kind)                                                                                 \
    SG_INLINE void end_##kind(const target *t, size_t row, size_t column, vr sum, size_t n)     \
    {                                                                                           \
        sg_tile_store(t->y + (ptrdiff_t)row * t->y_row + column,                                \
                      vr_activate(SG_ACTIVATION_##kind, vr_set1(t->parameter), sum), n);        \
    }                                                                                           \
    SG_TILE_PRODUCT_AHEAD(rows_##kind, target, start_rows, fetch_rows, end_##kind, SG_B_PACKED) \
    SG_TILE_PRODUCT_AHEAD(last_##kind, target, start_rows, fetch_last, end_##kind, SG_B_PACKED) \
    SG_TILE_PRODUCT_AHEAD(columns_##kind, target, start_columns, fetch_columns, end_##kind, SG_B_PACKED)
FUSED_ACTIVATIONS(X)
#undef X

typedef void product(const sg_product *, const target *);
static product *const rows_product[SG_ACTIVATION_COUNT] = {
#define X(kind) [SG_ACTIVATION_##kind] = rows_##kind,
    FUSED_ACTIVATIONS(X)
#undef X
};
static product *const last_product[SG_ACTIVATION_COUNT] = {
#define X(kind) [SG_ACTIVATION_##kind] = last_##kind,
    FUSED_ACTIVATIONS(X)
#undef X
};
static product *const columns_product[SG_ACTIVATION_COUNT] = {
#define X(kind) [SG_ACTIVATION_##kind] = columns_##kind,
    FUSED_ACTIVATIONS(X)
#undef X
};

#define X(kind, ignored, formula)                                                                        \
    /* y = f(x), both with the same stride; y may be x */                                                \
    static void pass_##kind(size_t n_rows, size_t n_columns, real parameter, const real *x, real *y,     \
                            ptrdiff_t step)                                                              \
    {                                                                                                    \
        const vr p = vr_set1(parameter);                                                                 \
        for (size_t row = 0; row < n_rows; row++, x += step, y += step) {                                \
            size_t j = 0;                                                                                \
            for (; j + VL <= n_columns; j += VL)                                                         \
                vr_store(y + j, vr_activate(SG_ACTIVATION_##kind, p, vr_load(x + j)));                   \
            if (j < n_columns)                                                                           \
                vr_store_n(y + j, vr_activate(SG_ACTIVATION_##kind, p, vr_load_n(x + j, n_columns - j)), \
                           n_columns - j);                                                               \
        }                                                                                                \
    }                                                                                                    \
    /* d *= f'(x), y = f(x); all with the same stride */                                                 \
    static void slope_##kind(size_t n_rows, size_t n_columns, real parameter, const real *x,             \
                             const real *y, real *d, ptrdiff_t step)                                     \
    {                                                                                                    \
        const vr p = vr_set1(parameter);                                                                 \
        for (size_t row = 0; row < n_rows; row++, x += step, y += step, d += step)                       \
            for (size_t j = 0; j < n_columns; j += VL) {                                                 \
                const size_t n = sg_lanes(n_columns - j);                                                \
                const vr     f = vr_activate_slope(SG_ACTIVATION_##kind, p, sg_lanes_load(x + j, n),     \
                                                   sg_lanes_load(y + j, n));                             \
                sg_lanes_store(d + j, vr_mul(sg_lanes_load(d + j, n), f), n);                            \
            }                                                                                            \
    }
SG_ACTIVATION_LIST(X)
#undef X

static void (*const pass[SG_ACTIVATION_COUNT])(size_t, size_t, real, const real *, real *, ptrdiff_t) = {
#define X(kind, ignored, formula) pass_##kind,
    SG_ACTIVATION_LIST(X)
#undef X
};
static void (*const slope[SG_ACTIVATION_COUNT])(size_t, size_t, real, const real *, const real *, real *, ptrdiff_t) = {
#define X(kind, ignored, formula) slope_##kind,
    SG_ACTIVATION_LIST(X)
#undef X
};

/* y[r * y_row + j] = layer(x[r * x_row + k * x_k]). next: input rows of the block after this one, to be fetched, or NULL. last: y
 * is the caller's and goes on after this block. */
static void layer_rows(const sg_dense_step *s, size_t n_rows, const real *x, ptrdiff_t x_row, ptrdiff_t x_k, real *y,
                       ptrdiff_t y_row, const real *next, int last)
{
    product *fused = (last ? last_product : rows_product)[s->activation], *plain = last ? last_linear : rows_linear;
    const sg_product by_weight = {.n_rows  = n_rows,
                                  .n_cols  = s->n_out,
                                  .n_k     = s->n_in,
                                  .a       = x,
                                  .a_row   = x_row,
                                  .a_k     = x_k,
                                  .b       = s->weight,
                                  .b_k     = SG_PANEL,
                                  .b_panel = (ptrdiff_t)(s->n_in * SG_PANEL)};
    const target to = {.bias      = s->bias,
                       .y         = y,
                       .y_row     = y_row,
                       .parameter = (real)s->parameter,
                       .next      = next ? next : x,
                       .next_row  = next ? (ptrdiff_t)s->n_in : 0,
                       .pace      = 65536 / s->n_in};
    (fused ? fused : plain)(&by_weight, &to);
    if (!fused)
        pass[s->activation](n_rows, s->n_out, (real)s->parameter, y, y, y_row);
}

/* y[j * y_j + r] = layer(x[k * SG_DENSE_BLOCK + r]); x is padded to whole vectors */
static void layer_columns(const sg_dense_step *s, size_t n_rows, const real *x, real *y, ptrdiff_t y_j)
{
    product *fused = columns_product[s->activation];
    for (size_t j = 0; j < s->n_out; j += SG_PANEL) {
        const target to = {.bias      = (const real *)s->bias + j,
                           .by_row    = 1,
                           .y         = y + (ptrdiff_t)j * y_j,
                           .y_row     = y_j,
                           .parameter = (real)s->parameter,
                           .pace      = 65536 / s->n_in};
        (fused ? fused : columns_linear)(&(sg_product){.n_rows  = s->n_out - j < SG_PANEL ? s->n_out - j : SG_PANEL,
                                                       .n_cols  = n_rows,
                                                       .n_k     = s->n_in,
                                                       .a       = (const real *)s->weight + j * s->n_in,
                                                       .a_row   = 1,
                                                       .a_k     = SG_PANEL,
                                                       .b       = x,
                                                       .b_k     = SG_DENSE_BLOCK,
                                                       .b_panel = SG_PANEL},
                                         &to);
    }
    if (!fused)
        pass[s->activation](s->n_out, n_rows, (real)s->parameter, y, y, y_j);
}

/* ------------------------------------------------------------------------------------------------- blocks of rows */

/* to[i * to_i + j * to_j] = from[i * from_i + j * from_j] */
static void copy(size_t n_i, size_t n_j, const real *from, ptrdiff_t from_i, ptrdiff_t from_j, real *to, ptrdiff_t to_i,
                 ptrdiff_t to_j)
{
    for (size_t i = 0; i < n_i; i++, from += from_i, to += to_i) {
        const real *f = from;
        real       *t = to;
        if (from_j == 1 && to_j == 1)
            memcpy(t, f, n_j * sizeof *t);
        else
            for (size_t j = 0; j < n_j; j++, f += from_j, t += to_j)
                *t = *f;
    }
}

/* Few columns are read where they are, however far apart; more would cost a page table entry each in every tile. */
#define MAX_SCATTERED_COLUMNS 16
#define MIN_FETCHED_COLUMNS 128

static void block_rows(const sg_dense_plan *plan, size_t first, size_t n_rows, const input_rows *in,
                       const output_rows *out, int thread, int more, real *work, real *other)
{
    const real *x     = in->data + (ptrdiff_t)first * in->row_stride;
    ptrdiff_t   x_row = in->row_stride, x_k = in->column_stride;
    if (in->load) {
        in->load(in->context, thread, first, n_rows, work, n_rows);
        x = work, x_row = 1, x_k = (ptrdiff_t)n_rows;
    } else if (x_k != 1 && plan->n_in > MAX_SCATTERED_COLUMNS) {
        const ptrdiff_t ld = (ptrdiff_t)sg_dense_ld(plan->n_in, sizeof(real));
        copy(plan->n_in, n_rows, x, x_k, x_row, work, 1, ld);
        x = work, x_row = ld, x_k = 1;
    }
    const int straight = !out->store && (out->column_stride == 1 || plan->n_out == 1);
    /* Wide rows one after the other: fetched while the block before them is computed. Narrow ones the processor fetches itself. */
    const real *next = NULL;
    if (more && x == in->data + (ptrdiff_t)first * in->row_stride && x_k == 1 && x_row == (ptrdiff_t)plan->n_in &&
        plan->n_in >= MIN_FETCHED_COLUMNS && plan->n_layers > 1)
        next = x + n_rows * plan->n_in;
    for (size_t i = 0; i < plan->n_layers; i++) {
        const sg_dense_step *s     = &plan->step[i];
        real                *y     = other;
        ptrdiff_t            y_row = (ptrdiff_t)sg_dense_ld(s->n_out, sizeof(real));
        if (i + 1 == plan->n_layers && straight)
            y = out->data + (ptrdiff_t)first * out->row_stride, y_row = out->row_stride;
        layer_rows(s, n_rows, x, x_row, x_k, y, y_row, next, y != other && more);
        next  = NULL;
        other = work, work = y;
        x = y, x_row = y_row, x_k = 1;
    }
    if (out->store) {
        if (n_rows > 1) {
            copy(plan->n_out, n_rows, x, 1, x_row, other, (ptrdiff_t)n_rows, 1);
            x = other;
        }
        out->store(out->context, thread, first, n_rows, x, n_rows);
    } else if (!straight) {
        copy(n_rows, plan->n_out, x, x_row, 1, out->data + (ptrdiff_t)first * out->row_stride, out->row_stride,
             out->column_stride);
    }
}

static void block_columns(const sg_dense_plan *plan, size_t first, size_t n_rows, const input_rows *in,
                          const output_rows *out, int thread, int more, real *work, real *other)
{
    (void)more;
    const size_t    ld = SG_DENSE_BLOCK, whole = (n_rows + VL - 1) / VL * VL;
    const ptrdiff_t step = (ptrdiff_t)ld;
    if (in->load)
        in->load(in->context, thread, first, n_rows, work, ld);
    else
        copy(plan->n_in, n_rows, in->data + (ptrdiff_t)first * in->row_stride, in->column_stride, in->row_stride, work,
             step, 1);
    /* Idle lanes: nothing depends on them, but denormal numbers there would be slow. */
    for (size_t k = 0; k < plan->n_in; k++)
        for (size_t r = n_rows; r < whole; r++)
            work[k * ld + r] = 0;
    const int straight = !out->store && out->row_stride == 1;
    for (size_t i = 0; i < plan->n_layers; i++) {
        if (i + 1 == plan->n_layers && straight) {
            layer_columns(&plan->step[i], n_rows, work, out->data + first, out->column_stride);
            return;
        }
        layer_columns(&plan->step[i], whole, work, other, step);
        real *y = other;
        other = work, work = y;
    }
    if (out->store)
        out->store(out->context, thread, first, n_rows, work, ld);
    else
        copy(n_rows, plan->n_out, work, 1, step, out->data + (ptrdiff_t)first * out->row_stride, out->row_stride,
             out->column_stride);
}

static void eval(const sg_dense_plan *plan, size_t first, size_t n_rows, const void *input, const void *output,
                 int thread, void *workspace)
{
    const output_rows *out  = output;
    real              *work = workspace, *other = (real *)((char *)workspace + plan->half);
    const int          fortran = out->store || (out->row_stride == 1 && out->column_stride != 1) || plan->n_out < VL;
    for (size_t left = n_rows; left;) {
        const int    columns = fortran && left >= SG_PANEL;
        const size_t most = columns ? SG_DENSE_BLOCK : ROWS_AT_ONCE, n = left < most ? left : most;
        (columns ? block_columns : block_rows)(plan, first, n, input, output, thread, left > n, work, other);
        first += n, left -= n;
    }
}

/* ---------------------------------------------------------------------------------------------------- derivatives */

/* One block of a derivative. Values of n columns lie row by row, sg_dense_ld(n) apart, or (columns) feature by feature,
 * SG_DENSE_BLOCK apart, with n_rows rounded up to whole vectors. */
typedef struct frame {
    const sg_dense_plan *plan;
    int                  columns, thread;
    size_t               first, n_rows, whole;
    char                *workspace;
} frame;

static ptrdiff_t step_of(const frame *f, size_t n)
{
    return f->columns ? (ptrdiff_t)SG_DENSE_BLOCK : (ptrdiff_t)sg_dense_ld(n, sizeof(real));
}

/* Rows of the caller into a block; spare is as large as the block. */
static void load_frame(const frame *f, const input_rows *in, size_t n, real *block, real *spare)
{
    const ptrdiff_t step = step_of(f, n);
    const real     *data = in->data + (ptrdiff_t)f->first * in->row_stride;
    if (f->columns) {
        if (in->load)
            in->load(in->context, f->thread, f->first, f->n_rows, block, SG_DENSE_BLOCK);
        else
            copy(n, f->n_rows, data, in->column_stride, in->row_stride, block, step, 1);
        for (size_t k = 0; k < n; k++) /* idle lanes: see block_columns */
            for (size_t r = f->n_rows; r < f->whole; r++)
                block[k * SG_DENSE_BLOCK + r] = 0;
    } else if (in->load) {
        in->load(in->context, f->thread, f->first, f->n_rows, spare, f->n_rows);
        copy(n, f->n_rows, spare, (ptrdiff_t)f->n_rows, 1, block, 1, step);
    } else {
        copy(f->n_rows, n, data, in->row_stride, in->column_stride, block, step, 1);
    }
}

/* A block to the caller. */
static void store_frame(const frame *f, const output_rows *out, size_t n, const real *block, real *spare)
{
    const ptrdiff_t step = step_of(f, n), row = f->columns ? 1 : step, column = f->columns ? step : 1;
    if (!out->store) {
        copy(f->n_rows, n, block, row, column, out->data + (ptrdiff_t)f->first * out->row_stride, out->row_stride,
             out->column_stride);
    } else if (f->columns) {
        out->store(out->context, f->thread, f->first, f->n_rows, block, SG_DENSE_BLOCK);
    } else {
        copy(n, f->n_rows, block, 1, step, spare, (ptrdiff_t)f->n_rows, 1);
        out->store(out->context, f->thread, f->first, f->n_rows, spare, f->n_rows);
    }
}

static void layer_frame(const frame *f, const sg_dense_step *s, const real *x, real *y)
{
    if (f->columns)
        layer_columns(s, f->whole, x, y, step_of(f, s->n_out));
    else
        layer_rows(s, f->n_rows, x, step_of(f, s->n_in), 1, y, step_of(f, s->n_out), NULL, 0);
}

/* The last layer of a derivative: straight to the caller where the layout allows it. */
static void last_layer_frame(const frame *f, const sg_dense_step *s, const real *x, real *y, real *spare, const output_rows *out)
{
    real *to = out->data + (ptrdiff_t)f->first * out->row_stride;
    if (!out->store && f->columns && out->row_stride == 1)
        layer_columns(s, f->n_rows, x, to, out->column_stride);
    else if (!out->store && !f->columns && out->column_stride == 1)
        layer_rows(s, f->n_rows, x, step_of(f, s->n_in), 1, to, out->row_stride, NULL, 0);
    else
        layer_frame(f, s, x, y), store_frame(f, out, s->n_out, y, spare);
}

static real *kept(const frame *f, size_t offset) { return (real *)(f->workspace + offset); }
static real *kept_input(const frame *f) { return kept(f, 2 * f->plan->half); }

/* Whether the slope of a layer is 1, so that nothing of it must be kept. */
static int has_slope(const sg_dense_step *s) { return s->activation != SG_ACTIVATION_linear; }

/* Forward through one layer, keeping what its slope needs. Sums and results have the bits of an evaluation. */
static void keep_layer(const frame *f, const sg_dense_step *s, const real *x)
{
    if (s->y == s->z) {
        layer_frame(f, s, x, kept(f, s->y));
        return;
    }
    sg_dense_step sums = *s;
    sums.activation    = SG_ACTIVATION_linear;
    layer_frame(f, &sums, x, kept(f, s->z));
    pass[s->activation](f->columns ? s->n_out : f->n_rows, f->columns ? f->whole : s->n_out, (real)s->parameter, kept(f, s->z),
                        kept(f, s->y), step_of(f, s->n_out));
}

static void multiply_slope(const frame *f, const sg_dense_step *s, real *d)
{
    if (has_slope(s))
        slope[s->activation](f->columns ? s->n_out : f->n_rows, f->columns ? f->whole : s->n_out, (real)s->parameter,
                             kept(f, s->z), kept(f, s->y), d, step_of(f, s->n_out));
}

static void jvp_frame(const frame *f, const input_rows *in, const input_rows *direction, const output_rows *out)
{
    const sg_dense_plan *plan = f->plan;
    real                *d = kept(f, 0), *other = kept(f, plan->half);
    const real          *x = kept_input(f);
    load_frame(f, in, plan->n_in, kept_input(f), d);
    load_frame(f, direction, plan->n_in, d, other);
    for (size_t i = 0; i < plan->n_layers; i++) {
        const sg_dense_step *s    = &plan->step[i];
        sg_dense_step        part = *s; /* d W */
        part.bias                 = plan->zeros;
        part.activation           = SG_ACTIVATION_linear;
        if (i + 1 == plan->n_layers && !has_slope(s)) {
            last_layer_frame(f, &part, d, other, d, out);
            return;
        }
        keep_layer(f, s, x);
        layer_frame(f, &part, d, other);
        multiply_slope(f, s, other);
        real *y = other;
        other = d, d = y;
        x = kept(f, s->y);
    }
    store_frame(f, out, plan->n_out, d, other);
}

static void vjp_frame(const frame *f, const input_rows *in, const input_rows *gradient, const output_rows *out)
{
    const sg_dense_plan *plan = f->plan;
    real                *d = kept(f, 0), *other = kept(f, plan->half);
    const real          *x = kept_input(f);
    load_frame(f, in, plan->n_in, kept_input(f), d);
    for (size_t i = 0; i < plan->n_layers; i++) {
        const sg_dense_step *s = &plan->step[i];
        if (i + 1 == plan->n_layers && !has_slope(s))
            break;
        keep_layer(f, s, x);
        x = kept(f, s->y);
    }
    load_frame(f, gradient, plan->n_out, d, other);
    for (size_t i = plan->n_layers; i--;) {
        const sg_dense_step *s    = &plan->step[i];
        const sg_dense_step  back = {.n_in       = s->n_out,
                                     .n_out      = s->n_in,
                                     .activation = SG_ACTIVATION_linear,
                                     .weight     = s->transposed,
                                     .bias       = plan->zeros};
        multiply_slope(f, s, d);
        if (i == 0) {
            last_layer_frame(f, &back, d, other, d, out);
            return;
        }
        layer_frame(f, &back, d, other);
        real *y = other;
        other = d, d = y;
    }
}

typedef void derivative(const frame *, const input_rows *, const input_rows *, const output_rows *);

SG_INLINE void run_frames(derivative *run, const sg_dense_plan *plan, size_t first, size_t n_rows, const input_rows *in,
                          const input_rows *d, const output_rows *out, int thread, void *workspace, size_t width)
{
    const int fortran = out->store || (out->row_stride == 1 && out->column_stride != 1) || width < VL;
    for (size_t left = n_rows; left;) {
        const int    columns = fortran && left >= SG_PANEL;
        const size_t most = columns ? SG_DENSE_BLOCK : ROWS_AT_ONCE, n = left < most ? left : most;
        run(&(frame){plan, columns, thread, first, n, (n + VL - 1) / VL * VL, workspace}, in, d, out);
        first += n, left -= n;
    }
}

static void jvp(const sg_dense_plan *plan, size_t first, size_t n_rows, const void *input, const void *d, const void *output,
                int thread, void *workspace)
{
    run_frames(jvp_frame, plan, first, n_rows, input, d, output, thread, workspace, plan->n_out);
}

static void vjp(const sg_dense_plan *plan, size_t first, size_t n_rows, const void *input, const void *d, const void *output,
                int thread, void *workspace)
{
    run_frames(vjp_frame, plan, first, n_rows, input, d, output, thread, workspace, plan->n_in);
}

extern const sg_dense_kernels SG_HOT(sg_dense_kernels);
const sg_dense_kernels SG_HOT(sg_dense_kernels) = {SG_PANEL, eval, jvp, vjp};
