/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static sg_status concatenate_rule(sg_op_site *site, sg_error *error)
{
    size_t n = 0;
    for (int i = 0; i < site->n_inputs; i++) {
        sg_shape like = sg_op_with_channels(site->in[i], site->in[i].rank == site->in[0].rank ? sg_op_channels(&site->in[0]) : 1);
        if (!sg_shape_same(&like, &site->in[0]))
            return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected shapes that agree in all but the last dimension, input %d"
                           " does not agree with input 0", i);
        n += sg_op_channels(&site->in[i]);
    }
    site->out = sg_op_with_channels(site->in[0], n);
    return SG_OK;
}

const sg_op sg_op_entry_concatenate = {
    .name          = "concatenate",
    .doc           = "Inputs side by side along the channels (last dimension).",
    .min_inputs    = 2,
    .max_inputs    = SG_OP_MAX_INPUTS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = concatenate_rule,
};
