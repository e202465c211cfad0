/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute simplex_attributes[] = {
    {"total", SG_ATTRIBUTE_REAL, SG_OP_ONE(1), 0, 1e30, NULL,
     "what the channels add up to; times the second input if there is one"},
};

static sg_status simplex_rule(sg_op_site *site, sg_error *error)
{
    if (site->n_inputs == 2 && !sg_op_is_one_channel(&site->in[1], &site->in[0]))
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected a second input with one number for all channels, got %zu elements for "
                       "%zu",
                       site->in_size[1], site->in_size[0]);
    site->out           = site->in[0];
    site->saved_per_row = site->in_size[0]; /* shares before they are multiplied, for a total of zero */
    site->flops         = 4.0 * (double)site->in_size[0];
    return SG_OK;
}

static void simplex_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t n = 1 + sg_op_draw_size(draw), n_positions = sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, (sg_shape){2, {n_positions, n}});
    if (sg_op_draw_integer(draw, 0, 1))
        sg_op_set_input(site, 1, (sg_shape){2, {n_positions, 1}});
    if (sg_op_draw_integer(draw, 0, 1))
        sg_op_set(site, "total", 2.5);
}

const sg_op sg_op_entry_simplex = {
    .name          = "simplex",
    .doc           = "Parts of a whole: total * softmax(x) over the channels (last dimension), so that they "
                     "have the sign of the total and add up to it. A second input, one number for all "
                     "channels, makes the total a value of the network.",
    .min_inputs    = 1,
    .max_inputs    = 2,
    .n_attributes  = SG_OP_COUNT_OF(simplex_attributes),
    .attributes    = simplex_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = simplex_rule,
    .example       = simplex_example,
};
