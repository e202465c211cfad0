/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status affine_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    size_t n = sg_op_channels(&site->in[0]);
    sg_op_add_parameter(site, "scale", (sg_shape){1, {n}}, SG_INIT_ONE, n, n);
    sg_op_add_parameter(site, "shift", (sg_shape){1, {n}}, SG_INIT_ZERO, n, n);
    site->out   = site->in[0];
    site->flops = 2.0 * (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_affine = {
    .name          = "affine",
    .doc           = "x * scale + shift per channel (last dimension); scale (channels), shift (channels).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = affine_rule,
};
