/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute layer_norm_attributes[] = {
    {"epsilon", SG_ATTRIBUTE_REAL, SG_OP_ONE(1e-5), 0, 1, NULL, "added to the variance (Keras: 1e-3)"},
};

static sg_status layer_norm_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    const size_t n = sg_op_channels(&site->in[0]);
    sg_op_add_parameter(site, "scale", (sg_shape){1, {n}}, SG_INIT_ONE, n, n);
    sg_op_add_parameter(site, "shift", (sg_shape){1, {n}}, SG_INIT_ZERO, n, n);
    site->out           = site->in[0];
    site->saved_per_row = 2 * (site->in_size[0] / n); /* mean and 1 / deviation of every position */
    site->flops         = 7.0 * (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_layer_norm = {
    .name = "layer_norm",
    .doc  = "(x - mean) / sqrt(variance + epsilon) * scale + shift with mean and variance (of n, not n - 1) "
            "over the channels (last dimension) of every position; scale (channels), shift "
            "(channels). Ba et al. 2016, arXiv:1607.06450.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(layer_norm_attributes),
    .attributes    = layer_norm_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = layer_norm_rule,
};
