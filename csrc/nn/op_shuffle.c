/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_coupling.h"

static const sg_attribute shuffle_attributes[] = {
    {"seed", SG_ATTRIBUTE_INT, SG_OP_ONE(0), 0, 2147483647, NULL, "of the order"},
    {"direction", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(0), 0, 0, sg_op_direction_names,
     "forward, or its inverse, which puts the channels back"},
};

static sg_status shuffle_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    site->out               = site->in[0];
    site->packed_size       = sg_op_channels(&site->in[0]);
    site->infer_packed_size = site->packed_size;
    return SG_OK;
}

const sg_op sg_op_entry_shuffle = {
    .name          = "shuffle",
    .doc           = "Channels (last dimension) in a fixed random order, the same at all positions: one drawn from "
                     "seed by the method of Fisher and Yates on Philox numbers, and part of the network.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(shuffle_attributes),
    .attributes    = shuffle_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = shuffle_rule,
};
