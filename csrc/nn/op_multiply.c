/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status multiply_rule(sg_op_site *site, sg_error *error)
{
    if (!sg_shape_same(&site->in[1], &site->in[0]) && !sg_op_is_one_channel(&site->in[1], &site->in[0]))
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected the second input of the shape of the first, or with one number for all "
                       "channels, got %zu and %zu elements",
                       site->in_size[0], site->in_size[1]);
    site->out   = site->in[0];
    site->flops = (double)site->in_size[0];
    return SG_OK;
}

static void multiply_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t   n = sg_op_draw_size(draw), n_items = sg_op_draw_integer(draw, 2, 3);
    const sg_shape whole = {2, {n_items, n}}, column = {2, {n_items, 1}}, items = {1, {n_items}};
    sg_op_set_input(site, 0, whole);
    switch (sg_op_draw_integer(draw, 0, 2)) {
    case 0: sg_op_set_input(site, 1, whole); break;
    case 1: sg_op_set_input(site, 1, column); break;
    default: sg_op_set_input(site, 1, items); break;
    }
}

const sg_op sg_op_entry_multiply = {
    .name          = "multiply",
    .doc           = "Product of two inputs of the same shape: gates. The second may have one number for "
                     "all channels (last dimension 1 or left out): masks.",
    .min_inputs    = 2,
    .max_inputs    = 2,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = multiply_rule,
    .example       = multiply_example,
};
