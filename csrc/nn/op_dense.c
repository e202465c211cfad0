/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute dense_attributes[] = {
    {"units", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "number of output channels"},
    SG_OP_ACTIVATION_ATTRIBUTES,
};

static sg_status dense_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    size_t n_in = sg_op_channels(&site->in[0]), n_out = sg_op_integer(site, "units"), n_positions = site->in_size[0] / n_in;
    sg_op_default_parameter(site);
    site->out = sg_op_with_channels(site->in[0], n_out);
    sg_op_add_parameter(site, "weight", (sg_shape){2, {n_in, n_out}}, SG_INIT_WEIGHT, n_in, n_out);
    sg_op_add_parameter(site, "bias", (sg_shape){1, {n_out}}, SG_INIT_ZERO, n_in, n_out);
    if (sg_activation_needs_input((sg_activation)sg_op_integer(site, "activation")))
        site->saved_per_row = n_positions * n_out;
    /* The transposed weights in panels, padded to the widest panel of any instruction set (32 columns). */
    site->packed_size = sg_size_mul(sg_round_up(n_in, 32), n_out);
    site->flops       = 2.0 * (double)n_positions * (double)n_in * (double)n_out;
    return SG_OK;
}

const sg_op sg_op_entry_dense = {
    .name         = "dense",
    .doc          = "activation(x W + b) over the channels (last dimension); weight (n_in, units), bias (units).",
    .min_inputs   = 1,
    .max_inputs   = 1,
    .n_attributes = SG_OP_COUNT_OF(dense_attributes),
    .attributes   = dense_attributes,
    .flags        = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule         = dense_rule,
};
