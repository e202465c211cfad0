/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_coupling.h"

static const sg_attribute spline_coupling_attributes[] = {
    SG_OP_DIRECTION_ATTRIBUTE,
    {"bins", SG_ATTRIBUTE_INT, SG_OP_ONE(8), 2, 32, NULL, "pieces of the spline, K"},
    {"bound", SG_ATTRIBUTE_REAL, SG_OP_ONE(3), 1e-3, 1e6, NULL,
     "B: the spline maps [-B, B] onto itself, and is the identity outside"},
};

static sg_status spline_coupling_rule(sg_op_site *site, sg_error *error)
{
    return sg_op_coupling_rule(site, 3 * sg_op_integer(site, "bins") - 1, error);
}

static void spline_coupling_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t bins = sg_op_draw_integer(draw, 2, 5);
    sg_op_coupling_example(draw, site, 3 * bins - 1);
    sg_op_set(site, "bins", (double)bins);
    if (sg_op_draw_integer(draw, 0, 1)) /* some inputs in the tails */
        sg_op_set(site, "bound", 1.5);
}

const sg_op sg_op_entry_spline_coupling = {
    .name          = "spline_coupling",
    .doc           = "Invertible map of n channels by monotone rational-quadratic splines, and its "
                     "log-determinant, as one more channel. Inputs x (n channels) and what a conditioner "
                     "made of the other variables (3 K - 1 for each channel in turn): K widths and K "
                     "heights of bins, as logits of softmax, then K - 1 slopes at inner knots, as arguments "
                     "of softplus. The slope is 1 at both ends and beyond; a conditioner of 0 is the "
                     "identity. No bin is narrower or lower than 2 B / 1000 and no slope less than 1 / "
                     "1000. Durkan et al. 2019, arXiv:1906.04032.",
    .min_inputs    = 2,
    .max_inputs    = 2,
    .n_attributes  = SG_OP_COUNT_OF(spline_coupling_attributes),
    .attributes    = spline_coupling_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = spline_coupling_rule,
    .example       = spline_coupling_example,
};
