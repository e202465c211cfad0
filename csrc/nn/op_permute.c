/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute permute_attributes[] = {
    {"axes", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 0, SG_MAX_RANK - 1, NULL,
     "dimension of the input that each dimension of the result is, counted from 0"},
};

static sg_status permute_rule(sg_op_site *site, sg_error *error)
{
    const sg_attribute_value *axes = &site->attribute[0];
    unsigned                  seen = 0;
    for (int i = 0; i < axes->n; i++)
        seen |= 1u << (int)axes->v[i];
    if (axes->n != site->in[0].rank || seen != (1u << site->in[0].rank) - 1)
        return sg_fail(error, SG_ERR_VALUE, "axes", "expected %d numbers, each of 0 to %d once, got %d or one twice",
                       site->in[0].rank, site->in[0].rank - 1, axes->n);
    site->out.rank = axes->n;
    for (int i = 0; i < axes->n; i++)
        site->out.dim[i] = site->in[0].dim[(int)axes->v[i]];
    return SG_OK;
}

static void permute_example(sg_op_draw *draw, sg_op_site *site)
{
    const int rank  = (int)sg_op_draw_integer(draw, 1, SG_MAX_RANK);
    sg_shape  shape = {rank, {0}};
    double    axes[SG_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        shape.dim[i]   = i == rank - 1 && rank < 4 ? sg_op_draw_size(draw) : sg_op_draw_integer(draw, 1, 3);
        const int j    = (int)sg_op_draw_integer(draw, 0, (size_t)i);
        axes[i]        = axes[j];
        axes[j]        = i;
    }
    sg_op_set_input(site, 0, shape);
    site->attribute[0].n = rank;
    for (int i = 0; i < rank; i++)
        site->attribute[0].v[i] = axes[i];
}

const sg_op sg_op_entry_permute = {
    .name          = "permute",
    .doc           = "The same elements with the dimensions in another order.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(permute_attributes),
    .attributes    = permute_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = permute_rule,
    .example       = permute_example,
};
