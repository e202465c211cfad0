/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute activation_attributes[] = {SG_OP_ACTIVATION_ATTRIBUTES};

static sg_status activation_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    sg_op_default_parameter(site);
    site->out   = site->in[0];
    site->flops = (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_activation = {
    .name         = "activation",
    .doc          = "A function of every element.",
    .min_inputs   = 1,
    .max_inputs   = 1,
    .n_attributes = SG_OP_COUNT_OF(activation_attributes),
    .attributes   = activation_attributes,
    .flags        = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule         = activation_rule,
};
