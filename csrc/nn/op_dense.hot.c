/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layer in a graph: y = f(x W + b), every position of a row being a row of the product. Inference of
 * whole chains is in dense.h; the bits agree, because each output is the same chain over k from the bias. */
#include "nn/activation_rows.h"
#include "nn/lanes.h"
#include "nn/ops.h"
#include "nn/products.h"

/* Rows taken through all products and passes at a time, while they are in L1 or L2: with many positions a
 * call has thousands. */
enum { BLOCK = 96 };

enum { UNITS, ACTIVATION, PARAMETER }; /* attributes, in the order of the table */

typedef struct sizes {
    size_t        n_rows, n_in, n_out;
    sg_activation activation;
    real          parameter;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sizes             s;
    s.n_out      = (size_t)site->attribute[UNITS].v[0];
    s.n_in       = site->parameter[0].shape.dim[0];
    s.n_rows     = call->n_rows * (site->out_size / s.n_out);
    s.activation = (sg_activation)site->attribute[ACTIVATION].v[0];
    s.parameter  = (real)site->attribute[PARAMETER].v[0];
    return s;
}

/* Activations of a few instructions are applied in registers; the others in a pass over the block. */
#define FUSED_ACTIVATIONS(X) X(linear) X(relu) X(leaky_relu) X(softsign)

typedef struct fused_target {
    sg_target to;
    real      parameter;
} fused_target;

SG_INLINE vr start_bias(const fused_target *t, size_t row, size_t column, size_t n)
{
    return sg_start_bias(&t->to, row, column, n);
}

#define X(kind)                                                                                             \
    SG_INLINE void end_##kind(const fused_target *t, size_t row, size_t column, vr sum, size_t n)           \
    {                                                                                                       \
        sg_store_result(&t->to, row, column, vr_activate(SG_ACTIVATION_##kind, vr_set1(t->parameter), sum), \
                        n);                                                                                 \
    }                                                                                                       \
    SG_TILE_PRODUCT(product_##kind, fused_target, start_bias, end_##kind, SG_B_PLAIN)
FUSED_ACTIVATIONS(X)
#undef X

typedef void fused_product(const sg_product *, const fused_target *);
static fused_product *const fused[SG_ACTIVATION_COUNT] = {
#define X(kind) [SG_ACTIVATION_##kind] = product_##kind,
    FUSED_ACTIVATIONS(X)
#undef X
};

SG_TILE_PRODUCT(product_plain, sg_target, sg_start_zero, sg_store_result, SG_B_PLAIN)
SG_TILE_PRODUCT(product_plain_add, sg_target, sg_start_there, sg_store_result, SG_B_PLAIN)
SG_TILE_PRODUCT(product_packed, sg_target, sg_start_zero, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_packed_add, sg_target, sg_start_there, sg_store_result, SG_B_PACKED)

/* W^T (n_out, n_in) in panels, for dX = dY W^T. */
static void prepare(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    if (call->mode != SG_PLAN_INFER && call->mode != SG_PLAN_TANGENT)
        sg_panels_pack(s.n_out, s.n_in, call->parameters, 1, (ptrdiff_t)s.n_out, call->packed);
}

/* x W, for n rows from `first` on. */
static sg_product by_input(const sizes *s, const sg_op_call *call, const void *x, size_t first, size_t n)
{
    const real *rows = (const real *)x + first * s->n_in;
    return sg_product_plain(n, s->n_out, s->n_in, rows, s->n_in, call->parameters, s->n_out);
}

static size_t block_rows(const sizes *s, size_t first)
{
    return s->n_rows - first < BLOCK ? s->n_rows - first : BLOCK;
}

static void forward(const sg_op_call *call)
{
    const sizes s    = sizes_of(call);
    const real *bias = (const real *)call->parameters + s.n_in * s.n_out;
    for (size_t first = 0; first < s.n_rows; first += BLOCK) {
        const size_t n     = block_rows(&s, first);
        real            *y = (real *)call->out + first * s.n_out;
        real            *z = call->saved ? (real *)call->saved + first * s.n_out : y;
        fused_product   *f = fused[s.activation];
        const sg_product p = by_input(&s, call, call->in[0], first, n);
        (f ? f : product_linear)(&p, &(fused_target){{bias, z, (ptrdiff_t)s.n_out}, s.parameter});
        if (!f)
            sg_activate_rows(s.activation, s.parameter, n * s.n_out, z, y);
    }
}

static void sum_rows(size_t n_rows, size_t n_out, const real *d, real *sum, int add)
{
    for (size_t j = 0; j < n_out; j += VL) {
        size_t n = sg_lanes(n_out - j);
        vr     s = add ? sg_lanes_load(sum + j, n) : vr_zero();
        for (size_t row = 0; row < n_rows; row++)
            s = vr_add(s, sg_lanes_load(d + row * n_out + j, n));
        sg_lanes_store(sum + j, s, n);
    }
}

static void backward(const sg_op_call *call)
{
    const sizes     s    = sizes_of(call);
    const ptrdiff_t n_in = (ptrdiff_t)s.n_in, n_out = (ptrdiff_t)s.n_out;
    for (size_t first = 0; first < s.n_rows; first += BLOCK) {
        const size_t n = block_rows(&s, first), at = first * s.n_out;
        const real  *y = (const real *)call->out + at, *z = call->saved ? (const real *)call->saved + at : y;
        const real  *x = (const real *)call->in[0] + first * s.n_in;
        real        *d = (real *)call->d_out + at, *d_weight = call->d_parameters;
        if (s.activation != SG_ACTIVATION_linear)
            sg_activate_rows_back(s.activation, s.parameter, n * s.n_out, z, y, d, d, 0);
        if (d_weight) {
            const int        add = call->add_parameters || first;
            const sg_product p   = sg_product_transposed(s.n_in, s.n_out, n, x, s.n_in, d, s.n_out);
            (add ? product_plain_add : product_plain)(&p, &(sg_target){NULL, d_weight, n_out});
            sum_rows(n, s.n_out, d, d_weight + s.n_in * s.n_out, add);
        }
        if (call->d_in[0]) {
            const sg_product p  = sg_product_packed(n, s.n_in, s.n_out, d, s.n_out, call->packed);
            const sg_target  to = {NULL, (real *)call->d_in[0] + first * s.n_in, n_in};
            (call->add_in[0] ? product_packed_add : product_packed)(&p, &to);
        }
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t first = 0; first < s.n_rows; first += BLOCK) {
        const size_t n = block_rows(&s, first), at = first * s.n_out;
        const real  *y = (const real *)call->out + at, *z = call->saved ? (const real *)call->saved + at : y;
        real            *t = (real *)call->t_out + at;
        const sg_product p = by_input(&s, call, call->t_in[0], first, n);
        product_plain(&p, &(sg_target){NULL, t, (ptrdiff_t)s.n_out});
        if (s.activation != SG_ACTIVATION_linear)
            sg_activate_rows_back(s.activation, s.parameter, n * s.n_out, z, y, t, t, 0);
    }
}

const sg_op_kernel SG_HOT(sg_op_kernel_dense) = {prepare, forward, backward, tangent};
