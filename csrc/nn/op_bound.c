/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status bound_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    const sg_shape channels = {1, {sg_op_channels(&site->in[0])}};
    sg_op_add_constant(site, "low", channels, SG_INIT_ZERO);
    sg_op_add_constant(site, "high", channels, SG_INIT_ONE);
    site->out   = site->in[0];
    site->flops = 3.0 * (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_bound = {
    .name          = "bound",
    .doc           = "Keeps every channel between two bounds: low + (high - low) sigmoid(x); constants low "
                     "(channels) and high (channels).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = bound_rule,
};
