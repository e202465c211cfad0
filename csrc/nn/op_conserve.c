/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute conserve_attributes[] = {
    {"constraints", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE, NULL,
     "number of linear constraints, rows of matrix"},
};

static sg_status conserve_rule(sg_op_site *site, sg_error *error)
{
    const size_t n = sg_op_channels(&site->in[0]), n_constraints = sg_op_integer(site, "constraints");
    size_t       n_right = 0;
    if (n_constraints > n)
        return sg_fail(error, SG_ERR_VALUE, "constraints",
                       "expected at most one per channel of the input, %zu, got %zu", n, n_constraints);
    sg_op_add_constant(site, "matrix", (sg_shape){2, {n_constraints, n}}, SG_INIT_ZERO);
    sg_op_add_constant(site, "correction", (sg_shape){2, {n_constraints, n}}, SG_INIT_ZERO);
    sg_op_add_constant(site, "constant", (sg_shape){1, {n_constraints}}, SG_INIT_ZERO);
    if (site->n_inputs == 2) {
        n_right             = sg_op_channels(&site->in[1]);
        const sg_shape like = site->in[1].rank == site->in[0].rank ? sg_op_with_channels(site->in[0], n_right)
                                                                   : site->in[0];
        if (!sg_shape_same(&like, &site->in[1]))
            return sg_fail(error, SG_ERR_SHAPE, "inputs",
                           "expected shapes that agree in all but the last dimension, got %zu and %zu "
                           "elements",
                           site->in_size[0], site->in_size[1]);
        sg_op_add_constant(site, "right", (sg_shape){2, {n_constraints, n_right}}, SG_INIT_ZERO);
    }
    site->out             = site->in[0];
    site->scratch_per_row = n_constraints;
    site->flops = 2.0 * (double)(site->in_size[0] / n) * (double)n_constraints * (double)(2 * n + n_right);
    return SG_OK;
}

static void conserve_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t n = sg_op_draw_size(draw), n_positions = sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, (sg_shape){2, {n_positions, n}});
    if (sg_op_draw_integer(draw, 0, 1))
        sg_op_set_input(site, 1, (sg_shape){2, {n_positions, sg_op_draw_size(draw)}});
    sg_op_set(site, "constraints", (double)sg_op_draw_integer(draw, 1, n < 3 ? n : 3));
}

const sg_op sg_op_entry_conserve = {
    .name          = "conserve",
    .doc           = "Projection on linear constraints over the channels (last dimension): y = x + "
                     "correction^T (constant + right z - matrix x), z being the second input, if there is "
                     "one. Where matrix correction^T is the identity, the result obeys matrix y = constant "
                     "+ right z to rounding. Constants matrix and correction (constraints, channels), "
                     "constant (constraints), right (constraints, channels of z). Beucler et al. 2021, "
                     "doi:10.1103/PhysRevLett.126.098302.",
    .min_inputs    = 1,
    .max_inputs    = 2,
    .n_attributes  = SG_OP_COUNT_OF(conserve_attributes),
    .attributes    = conserve_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = conserve_rule,
    .example       = conserve_example,
};
