/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const char *const pools[] = {"mean", "sum", "max", NULL};

static const sg_attribute set_pool_attributes[] = {
    {"pool", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(0), 0, 0, pools, "what is taken over the items that are present"},
};

static sg_status set_pool_rule(sg_op_site *site, sg_error *error)
{
    SG_TRY(sg_op_check_set(site, 0, 1, error));
    const size_t n = sg_op_channels(&site->in[0]);
    site->out      = (sg_shape){1, {n}};
    /* max: which item it was, for backward */
    site->saved_per_row = site->attribute[0].v[0] == 2 ? n : 0;
    site->flops         = (double)site->in_size[0];
    return SG_OK;
}

static void set_pool_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t n_items = sg_op_draw_integer(draw, 1, 7);
    sg_op_set_input(site, 0, (sg_shape){2, {n_items, sg_op_draw_size(draw)}});
    if (sg_op_draw_integer(draw, 0, 2))
        sg_op_set_input(site, 1, (sg_shape){1, {n_items}});
    sg_op_set(site, "pool", (double)sg_op_draw_integer(draw, 0, 2));
}

const sg_op sg_op_entry_set_pool = {
    .name               = "set_pool",
    .doc                = "Mean, sum or largest value of every channel over the items of a set (n_items, "
                          "channels). The second input is a mask (n_items): an item is present where it is "
                          "> 0.5. Items that are not present have no influence, whatever they hold; a set "
                          "without items gives 0. Deep sets, Zaheer et al. 2017, arXiv:1703.06114.",
    .min_inputs         = 1,
    .max_inputs         = 2,
    .n_attributes       = SG_OP_COUNT_OF(set_pool_attributes),
    .attributes         = set_pool_attributes,
    .flags              = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64      = 1e-6,
    .tolerance_f32      = 1e-3,
    .rule               = set_pool_rule,
    .example            = set_pool_example,
    .no_gradient_inputs = 1u << 1,
};
