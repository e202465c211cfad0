/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status softmax_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    site->out   = site->in[0];
    site->flops = 3.0 * (double)site->in_size[0];
    return SG_OK;
}

/* One channel would be 1, whatever it was. */
static void softmax_example(sg_op_draw *draw, sg_op_site *site)
{
    sg_op_set_input(site, 0, (sg_shape){2, {sg_op_draw_integer(draw, 1, 3), 1 + sg_op_draw_size(draw)}});
}

const sg_op sg_op_entry_softmax = {
    .name          = "softmax",
    .doc           = "exp(x) / sum exp(x) over the channels (last dimension).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .flags         = SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = softmax_rule,
    .example       = softmax_example,
};
