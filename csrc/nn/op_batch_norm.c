/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute batch_norm_attributes[] = {
    {"momentum", SG_ATTRIBUTE_REAL, SG_OP_ONE(0.1), 1e-6, 1, NULL,
     "share of the batch in the running statistics (Keras: 1 - momentum)"},
    {"epsilon", SG_ATTRIBUTE_REAL, SG_OP_ONE(1e-5), 1e-12, 1, NULL, "added to the variance (Keras: 1e-3)"},
};

static sg_status batch_norm_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    const size_t   n        = sg_op_channels(&site->in[0]);
    const sg_shape shape    = {1, {n}};
    const double   momentum = site->attribute[sg_op_attribute(site->op, "momentum")].v[0];
    sg_op_add_parameter(site, "scale", shape, SG_INIT_ONE, n, n);
    sg_op_add_parameter(site, "shift", shape, SG_INIT_ZERO, n, n);
    sg_op_add_statistic(site, "mean", shape, SG_INIT_ZERO, momentum);
    sg_op_add_statistic(site, "variance", shape, SG_INIT_ONE, momentum);
    site->out               = site->in[0];
    site->saved_per_row     = 2 * n; /* mean and variance of the batch: once, but a batch may have one row */
    site->infer_packed_size = n;     /* scale / sqrt(variance + epsilon) */
    site->packed_size       = n;
    site->flops             = 3.0 * (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_batch_norm = {
    .name = "batch_norm",
    .doc  = "(x - mean) / sqrt(variance + epsilon) * scale + shift per channel (last dimension); parameters "
            "scale, shift and the running statistics mean and variance, (channels) each. In training mean "
            "and variance are those of the batch over rows and positions, and the running statistics move "
            "towards them by momentum (of the variance of n - 1, as in PyTorch). Ioffe & Szegedy 2015, "
            "arXiv:1502.03167.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(batch_norm_attributes),
    .attributes    = batch_norm_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT | SG_OP_COUPLES_ROWS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = batch_norm_rule,
};
