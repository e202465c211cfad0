/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_attention.h"

static const sg_attribute attention_attributes[] = {
    {"heads", SG_ATTRIBUTE_INT, SG_OP_ONE(1), 1, 4096, NULL,
     "parts of the channels that attend by themselves, side by side"},
};

static sg_status attention_rule(sg_op_site *site, sg_error *error)
{
    const size_t n_heads = sg_op_integer(site, "heads");
    SG_TRY(sg_op_check_set(site, 0, 4, error));
    SG_TRY(sg_op_check_set(site, 1, 3, error));
    SG_TRY(sg_op_check_set(site, 2, 3, error));
    const size_t n_key = sg_op_channels(&site->in[0]), n_value = sg_op_channels(&site->in[2]);
    if (sg_op_channels(&site->in[1]) != n_key || site->in[1].dim[0] != site->in[2].dim[0])
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected keys with the %zu channels of the queries and the %zu items of the values, "
                       "got (%zu, %zu)",
                       n_key, site->in[2].dim[0], site->in[1].dim[0], site->in[1].dim[1]);
    if (n_key % n_heads || n_value % n_heads)
        return sg_fail(error, SG_ERR_VALUE, "heads", "expected a divisor of %zu and %zu channels, got %zu",
                       n_key, n_value, n_heads);
    site->out = (sg_shape){2, {site->in[0].dim[0], n_value}};
    sg_op_attention_memory(site, site->in[0].dim[0], site->in[1].dim[0], n_heads, n_key, n_value);
    return SG_OK;
}

static void attention_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t n_heads = sg_op_draw_integer(draw, 1, 3), n_items = sg_op_draw_integer(draw, 1, 17),
                 n_queries = sg_op_draw_integer(draw, 1, 3);
    const size_t n_key     = n_heads * sg_op_draw_integer(draw, 1, 3),
                 n_value   = n_heads * sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, (sg_shape){2, {n_queries, n_key}});
    sg_op_set_input(site, 1, (sg_shape){2, {n_items, n_key}});
    sg_op_set_input(site, 2, (sg_shape){2, {n_items, n_value}});
    if (sg_op_draw_integer(draw, 0, 2))
        sg_op_set_input(site, 3, (sg_shape){1, {n_items}});
    sg_op_set(site, "heads", (double)n_heads);
}

const sg_op sg_op_entry_attention = {
    .name               = "attention",
    .doc                = "Scaled dot-product attention: every query takes a mean of the values, weighted "
                          "with the softmax of query . key / sqrt(channels of a head). Inputs queries "
                          "(n_queries, n_key), keys (n_items, n_key), values (n_items, n_value) and, if "
                          "wanted, a mask (n_items): an item is present where it is > 0.5. Items that are "
                          "not present have no influence, whatever they hold; a set without items gives 0. "
                          "Vaswani et al. 2017, arXiv:1706.03762.",
    .min_inputs         = 3,
    .max_inputs         = 4,
    .n_attributes       = SG_OP_COUNT_OF(attention_attributes),
    .attributes         = attention_attributes,
    .flags              = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64      = 1e-6,
    .tolerance_f32      = 1e-3,
    .rule               = attention_rule,
    .example            = attention_example,
    .no_gradient_inputs = 1u << 3,
};
