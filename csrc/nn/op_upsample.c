/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"
#include "nn/op_upsample.h"

static const char *const method_names[] = {"nearest", "linear", NULL};

enum { FACTOR, METHOD }; /* attributes, in the order of the table */

static const sg_attribute upsample_attributes[] = {
    {"factor", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 1, 4096, NULL,
     "outputs for each position, for all dimensions or for each"},
    {"method", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(SG_UPSAMPLE_NEAREST), 0, 0, method_names,
     "nearest: copies; linear: between the centres of cells, constant beyond the outermost ones"},
};

sg_upsample sg_upsample_of(const sg_op_site *site)
{
    const sg_attribute_value *factor = &site->attribute[FACTOR];
    const int                 rank   = site->in[0].rank - 1;
    sg_upsample               up     = {.n_channels = sg_op_channels(&site->in[0]),
                                        .method     = (sg_upsample_method)site->attribute[METHOD].v[0]};
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - rank);
        up.n[i]        = from < 0 ? 1 : site->in[0].dim[from];
        up.factor[i]   = from < 0 ? 1 : (size_t)factor->v[factor->n == 1 ? 0 : from];
    }
    return up;
}

static sg_status upsample_rule(sg_op_site *site, sg_error *error)
{
    const int rank = site->in[0].rank - 1, n = site->attribute[FACTOR].n;
    if (rank < 1 || rank > 3)
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected a field of 1 to 3 dimensions with channels last, got rank %d",
                       site->in[0].rank);
    if (n != 1 && n != rank)
        return sg_fail(error, SG_ERR_VALUE, "factor",
                       "expected 1 or %d numbers for a field of %d dimensions, got %d", rank, rank, n);
    const sg_upsample up = sg_upsample_of(site);
    site->out            = site->in[0];
    for (int i = 0; i < rank; i++)
        site->out.dim[i] = sg_size_mul(site->out.dim[i], up.factor[i + 3 - rank]);
    site->scratch_fixed = up.n[2] * up.n_channels; /* a line of the field */
    site->flops         = up.method == SG_UPSAMPLE_LINEAR ? 4.0 * (double)sg_shape_size(&site->out) : 0;
    return SG_OK;
}

static void upsample_example(sg_op_draw *draw, sg_op_site *site)
{
    const int rank  = (int)sg_op_draw_integer(draw, 1, 3);
    sg_shape  shape = {rank + 1, {0}};
    for (int i = 0; i < rank; i++)
        shape.dim[i] = sg_op_draw_integer(draw, 1, rank == 1 ? 9 : 4);
    shape.dim[rank] = rank == 1 ? sg_op_draw_size(draw) : sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, shape);
    sg_op_set(site, "method", (double)sg_op_draw_integer(draw, 0, 1));
    site->attribute[FACTOR].n = sg_op_draw_integer(draw, 0, 1) ? rank : 1;
    for (int i = 0; i < site->attribute[FACTOR].n; i++)
        site->attribute[FACTOR].v[i] = (double)sg_op_draw_integer(draw, 1, 3);
}

const sg_op sg_op_entry_upsample = {
    .name = "upsample",
    .doc  = "A finer field with one, two or three dimensions before its channels: factor times as many "
           "positions.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(upsample_attributes),
    .attributes    = upsample_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = upsample_rule,
    .example       = upsample_example,
};
