/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status gaussian_sample_rule(sg_op_site *site, sg_error *error)
{
    if (!sg_shape_same(&site->in[0], &site->in[1]))
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected the same shape for mean and log-variance, got %zu and %zu elements",
                       site->in_size[0], site->in_size[1]);
    site->out           = site->in[0];
    site->saved_per_row = site->in_size[0];
    site->flops         = 3.0 * (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_gaussian_sample = {
    .name          = "gaussian_sample",
    .doc           = "Samples of Gaussians in training, mean + exp(log-variance / 2) * normal number; the "
                     "mean in inference, with no derivative along the log-variance. Inputs mean and "
                     "log-variance, of one shape. Reparameterisation of variational autoencoders: Kingma & "
                     "Welling 2014, arXiv:1312.6114.",
    .min_inputs    = 2,
    .max_inputs    = 2,
    .flags         = SG_OP_RANDOM,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = gaussian_sample_rule,
};
