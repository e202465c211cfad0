/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute mixture_density_attributes[] = {
    {"components", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 1, 1 << 16, NULL, "Gaussians in the mixture, K"},
    {"low", SG_ATTRIBUTE_REAL, SG_OP_ONE(-10), -80, 80, NULL, "bound that log-variances stay above"},
    {"high", SG_ATTRIBUTE_REAL, SG_OP_ONE(10), -80, 80, NULL, "bound that log-variances stay below"},
};

static sg_status mixture_density_rule(sg_op_site *site, sg_error *error)
{
    const size_t k = sg_op_integer(site, "components"), n = sg_op_channels(&site->in[0]), each = n / k;
    if (n % k || each < 3 || each % 2 == 0)
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected components (1 + 2 n) channels for n variables, got %zu channels for %zu "
                       "components",
                       n, k);
    if (!(site->attribute[1].v[0] < site->attribute[2].v[0]))
        return sg_fail(error, SG_ERR_VALUE, "high", "expected more than low = %g, got %g",
                       site->attribute[1].v[0], site->attribute[2].v[0]);
    site->out             = site->in[0];
    site->scratch_per_row = k;
    site->flops           = 3.0 * (double)site->in_size[0];
    return SG_OK;
}

static void mixture_density_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t k = sg_op_draw_size(draw), n = sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, (sg_shape){2, {sg_op_draw_integer(draw, 1, 3), k * (1 + 2 * n)}});
    sg_op_set(site, "components", (double)k);
    if (sg_op_draw_integer(draw, 0, 1)) {
        sg_op_set(site, "low", -3);
        sg_op_set(site, "high", 2.5);
    }
}

const sg_op sg_op_entry_mixture_density = {
    .name          = "mixture_density",
    .doc           = "Parameters of a mixture of K diagonal Gaussians of n variables from K (1 + 2 n) "
                     "channels, in the layout of the loss mixture_nll: logarithms of the weights (K), "
                     "normalised; means (K, n), as they come; log-variances (K, n), bent to stay between "
                     "low and high with slope 1 in the middle. Bishop 1994, mixture density networks.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(mixture_density_attributes),
    .attributes    = mixture_density_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = mixture_density_rule,
    .example       = mixture_density_example,
};
