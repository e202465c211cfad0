/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_coupling.h"

static const sg_attribute affine_coupling_attributes[] = {
    SG_OP_DIRECTION_ATTRIBUTE,
    {"bound", SG_ATTRIBUTE_REAL, SG_OP_ONE(2), 1e-3, 50, NULL, "largest size of a log-scale"},
};

static sg_status affine_coupling_rule(sg_op_site *site, sg_error *error)
{
    return sg_op_coupling_rule(site, 2, error);
}

static void affine_coupling_example(sg_op_draw *draw, sg_op_site *site)
{
    sg_op_coupling_example(draw, site, 2);
    if (sg_op_draw_integer(draw, 0, 1))
        sg_op_set(site, "bound", 0.7);
}

const sg_op sg_op_entry_affine_coupling = {
    .name          = "affine_coupling",
    .doc           = "Invertible map of n channels and its log-determinant, as one more channel: y = x "
                     "exp(s) + t and sum s; inverse: (x - t) exp(-s) and -sum s. Inputs x (n channels) and "
                     "what a conditioner made of the other variables (2 n channels): t (n), then r (n) with "
                     "s = bound tanh(r / bound). Dinh et al. 2017, arXiv:1605.08803, eq. 7-8.",
    .min_inputs    = 2,
    .max_inputs    = 2,
    .n_attributes  = SG_OP_COUNT_OF(affine_coupling_attributes),
    .attributes    = affine_coupling_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = affine_coupling_rule,
    .example       = affine_coupling_example,
};
