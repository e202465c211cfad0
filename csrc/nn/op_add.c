/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status add_rule(sg_op_site *site, sg_error *error)
{
    for (int i = 1; i < site->n_inputs; i++)
        if (!sg_shape_same(&site->in[i], &site->in[0]))
            return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected the same shape for all, input 0 has %zu elements and input %d"
                           " has %zu", site->in_size[0], i, site->in_size[i]);
    site->out   = site->in[0];
    site->flops = (double)(site->n_inputs - 1) * (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_add = {
    .name          = "add",
    .doc           = "Sum of inputs of the same shape: residual connections.",
    .min_inputs    = 2,
    .max_inputs    = SG_OP_MAX_INPUTS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = add_rule,
};
