/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute dropout_attributes[] = {
    {"rate", SG_ATTRIBUTE_REAL, SG_OP_ONE(0.5), 0, 0.999, NULL, "probability that an element is dropped"},
};

static sg_status dropout_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    site->out   = site->in[0];
    site->flops = (double)site->in_size[0];
    return SG_OK;
}

const sg_op sg_op_entry_dropout = {
    .name = "dropout",
    .doc  = "In training every element is zero with probability rate and x / (1 - rate) otherwise, drawn "
            "anew in every step; elsewhere x. Srivastava et al. 2014, "
            "https://jmlr.org/papers/v15/srivastava14a.html.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(dropout_attributes),
    .attributes    = dropout_attributes,
    .flags         = SG_OP_RANDOM,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = dropout_rule,
};
