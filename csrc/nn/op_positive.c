/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const char *const functions[] = {"softplus", "exp", "relu", NULL};

static const sg_attribute positive_attributes[] = {
    {"function", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(0), 0, 0, functions,
     "softplus: log(1 + exp(x)); exp: for logarithms; relu: max(x, 0)"},
    {"floor", SG_ATTRIBUTE_REAL, SG_OP_ONE(0), 0, 1e30, NULL, "smallest value; added to the function"},
};

static sg_status positive_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    site->out   = site->in[0];
    site->flops = 2.0 * (double)site->in_size[0];
    return SG_OK;
}

static void positive_example(sg_op_draw *draw, sg_op_site *site)
{
    sg_op_set_input(site, 0, (sg_shape){2, {sg_op_draw_integer(draw, 1, 3), sg_op_draw_size(draw)}});
    sg_op_set(site, "function", (double)sg_op_draw_integer(draw, 0, 2));
    if (sg_op_draw_integer(draw, 0, 1))
        sg_op_set(site, "floor", 0.25);
}

const sg_op sg_op_entry_positive = {
    .name          = "positive",
    .doc           = "Makes every element at least floor: floor + function(x).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(positive_attributes),
    .attributes    = positive_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = positive_rule,
    .example       = positive_example,
};
