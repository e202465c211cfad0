/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layer for training: y = f(x W + b) for the rows of a chunk, every position of a row being a row of the product.
 * Inference of whole chains is in dense.h; the bits agree, because each output is the same chain over k from the bias. */
#include "nn/activation_rows.h"
#include "nn/lanes.h"
#include "nn/ops.h"
#include "nn/tile.h"

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

/* Where a product goes, and what it starts from. */
typedef struct target {
    const real *bias;
    real       *c;
    size_t      c_row;
} target;

SG_INLINE vr start_bias(const target *t, size_t row, size_t column, size_t n)
{
    (void)row;
    return sg_tile_load(t->bias + column, n);
}
SG_INLINE vr start_zero(const target *t, size_t row, size_t column, size_t n)
{
    (void)t, (void)row, (void)column, (void)n;
    return vr_zero();
}
SG_INLINE vr start_there(const target *t, size_t row, size_t column, size_t n)
{
    return sg_tile_load(t->c + row * t->c_row + column, n);
}
SG_INLINE void store(const target *t, size_t row, size_t column, vr sum, size_t n)
{
    sg_tile_store(t->c + row * t->c_row + column, sum, n);
}

SG_TILE_PRODUCT(product_bias, target, start_bias, store, SG_B_PLAIN)
SG_TILE_PRODUCT(product_plain, target, start_zero, store, SG_B_PLAIN)
SG_TILE_PRODUCT(product_plain_add, target, start_there, store, SG_B_PLAIN)
SG_TILE_PRODUCT(product_packed, target, start_zero, store, SG_B_PACKED)
SG_TILE_PRODUCT(product_packed_add, target, start_there, store, SG_B_PACKED)

/* W^T (n_out, n_in) in panels of SG_PANEL columns, for dX = dY W^T. */
static void prepare(const sg_op_call *call)
{
    if (call->mode == SG_PLAN_INFER || call->mode == SG_PLAN_TANGENT)
        return;
    const sizes s      = sizes_of(call);
    const real *weight = call->parameters;
    real       *packed = call->packed;
    for (size_t first = 0; first < s.n_in; first += SG_PANEL, packed += s.n_out * SG_PANEL) {
        size_t n = s.n_in - first < SG_PANEL ? s.n_in - first : SG_PANEL;
        for (size_t k = 0; k < s.n_out; k++) {
            for (size_t j = 0; j < n; j++)
                packed[k * SG_PANEL + j] = weight[(first + j) * s.n_out + k];
            for (size_t j = n; j < SG_PANEL; j++)
                packed[k * SG_PANEL + j] = 0;
        }
    }
}

static void forward(const sg_op_call *call)
{
    const sizes s      = sizes_of(call);
    const real *weight = call->parameters, *bias = weight + s.n_in * s.n_out;
    real       *y      = call->out, *z = call->saved ? call->saved : y;
    product_bias(&(sg_product){s.n_rows, s.n_out, s.n_in, call->in[0], (ptrdiff_t)s.n_in, 1, weight, SG_PANEL, (ptrdiff_t)s.n_out},
                 &(target){bias, z, s.n_out});
    if (s.activation != SG_ACTIVATION_linear)
        sg_activate_rows(s.activation, s.parameter, s.n_rows * s.n_out, z, y);
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
    const sizes s        = sizes_of(call);
    real       *d_weight = call->d_parameters, *d = call->d_out;
    const real *z        = call->saved ? call->saved : call->out;
    if (s.activation != SG_ACTIVATION_linear)
        sg_activate_rows_back(s.activation, s.parameter, s.n_rows * s.n_out, z, call->out, d, d, 0);

    if (d_weight) {
        const sg_product by_weight = {s.n_in, s.n_out, s.n_rows, call->in[0], 1, (ptrdiff_t)s.n_in, d, SG_PANEL, (ptrdiff_t)s.n_out};
        const target     weights   = {NULL, d_weight, s.n_out};
        if (call->add_parameters)
            product_plain_add(&by_weight, &weights);
        else
            product_plain(&by_weight, &weights);
        sum_rows(s.n_rows, s.n_out, d, d_weight + s.n_in * s.n_out, call->add_parameters);
    }

    if (call->d_in[0]) {
        const sg_product by_input = {s.n_rows, s.n_in, s.n_out, d, (ptrdiff_t)s.n_out, 1, call->packed,
                                     (ptrdiff_t)(s.n_out * SG_PANEL), SG_PANEL};
        const target     inputs   = {NULL, call->d_in[0], s.n_in};
        if (call->add_in[0])
            product_packed_add(&by_input, &inputs);
        else
            product_packed(&by_input, &inputs);
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *z = call->saved ? call->saved : call->out;
    real       *t = call->t_out;
    product_plain(&(sg_product){s.n_rows, s.n_out, s.n_in, call->t_in[0], (ptrdiff_t)s.n_in, 1, call->parameters, SG_PANEL,
                                (ptrdiff_t)s.n_out},
                  &(target){NULL, t, s.n_out});
    if (s.activation != SG_ACTIVATION_linear)
        sg_activate_rows_back(s.activation, s.parameter, s.n_rows * s.n_out, z, call->out, t, t, 0);
}

const sg_op_kernel SG_HOT(sg_op_kernel_dense) = {prepare, forward, backward, tangent};
