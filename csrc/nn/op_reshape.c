/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute reshape_attributes[] = {
    {"shape", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE, NULL,
     "shape of the result, with as many elements"},
};

static sg_status reshape_rule(sg_op_site *site, sg_error *error)
{
    const sg_attribute_value *shape = &site->attribute[0];
    site->out.rank                  = shape->n;
    for (int i = 0; i < shape->n; i++)
        site->out.dim[i] = (size_t)shape->v[i];
    const size_t size = sg_shape_size(&site->out);
    if (size != site->in_size[0])
        return sg_fail(error, SG_ERR_SHAPE, "shape", "expected %zu elements, as in the input, got %zu",
                       site->in_size[0], size);
    return SG_OK;
}

static void reshape_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t a = sg_op_draw_size(draw), b = sg_op_draw_integer(draw, 1, 3),
                 c = sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, (sg_shape){3, {b, c, a}});
    switch (sg_op_draw_integer(draw, 0, 2)) {
    case 0: site->attribute[0] = (sg_attribute_value){1, {(double)(a * b * c)}}; break;
    case 1: site->attribute[0] = (sg_attribute_value){2, {(double)a, (double)(b * c)}}; break;
    default: site->attribute[0] = (sg_attribute_value){4, {(double)c, 1, (double)a, (double)b}}; break;
    }
}

const sg_op sg_op_entry_reshape = {
    .name          = "reshape",
    .doc           = "The same elements in the same order (last dimension fastest) with another shape.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(reshape_attributes),
    .attributes    = reshape_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = reshape_rule,
    .example       = reshape_example,
};
