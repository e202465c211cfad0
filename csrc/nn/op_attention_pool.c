/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_attention.h"

static const sg_attribute attention_pool_attributes[] = {
    {"heads", SG_ATTRIBUTE_INT, SG_OP_ONE(1), 1, 4096, NULL,
     "parts of the channels that attend by themselves, side by side"},
    {"queries", SG_ATTRIBUTE_INT, SG_OP_ONE(1), 1, 4096, NULL, "learned queries, rows of the result"},
};

static sg_status attention_pool_rule(sg_op_site *site, sg_error *error)
{
    const size_t n_heads = sg_op_integer(site, "heads"), n_queries = sg_op_integer(site, "queries");
    SG_TRY(sg_op_check_set(site, 0, 2, error));
    SG_TRY(sg_op_check_set(site, 1, 2, error));
    const size_t n_items = site->in[0].dim[0], n_key = sg_op_channels(&site->in[0]),
                 n_value = sg_op_channels(&site->in[1]);
    if (site->in[1].dim[0] != n_items)
        return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected as many values as keys, got %zu and %zu",
                       site->in[1].dim[0], n_items);
    if (n_key % n_heads || n_value % n_heads)
        return sg_fail(error, SG_ERR_VALUE, "heads", "expected a divisor of %zu and %zu channels, got %zu",
                       n_key, n_value, n_heads);
    sg_op_add_parameter(site, "query", (sg_shape){2, {n_queries, n_key}}, SG_INIT_WEIGHT, n_key, n_key);
    site->out = (sg_shape){2, {n_queries, n_value}};
    sg_op_attention_memory(site, n_queries, n_items, n_heads, n_key, n_value);
    return SG_OK;
}

static void attention_pool_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t n_heads = sg_op_draw_integer(draw, 1, 3), n_items = sg_op_draw_integer(draw, 1, 17);
    sg_op_set_input(site, 0, (sg_shape){2, {n_items, n_heads * sg_op_draw_integer(draw, 1, 3)}});
    sg_op_set_input(site, 1, (sg_shape){2, {n_items, n_heads * sg_op_draw_integer(draw, 1, 3)}});
    if (sg_op_draw_integer(draw, 0, 2))
        sg_op_set_input(site, 2, (sg_shape){1, {n_items}});
    sg_op_set(site, "heads", (double)n_heads);
    sg_op_set(site, "queries", (double)sg_op_draw_integer(draw, 1, 3));
}

const sg_op sg_op_entry_attention_pool = {
    .name               = "attention_pool",
    .doc                = "Attention of learned queries to a set, independent of the order of its items: as "
                          "attention, with queries that are a parameter query (queries, n_key). Inputs keys "
                          "(n_items, n_key), values (n_items, n_value) and, if wanted, a mask (n_items): an "
                          "item is present where it is > 0.5. Items that are not present have no influence, "
                          "whatever they hold; a set without items gives 0. Lee et al. 2019, "
                          "arXiv:1810.00825.",
    .min_inputs         = 2,
    .max_inputs         = 3,
    .n_attributes       = SG_OP_COUNT_OF(attention_pool_attributes),
    .attributes         = attention_pool_attributes,
    .flags              = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64      = 1e-6,
    .tolerance_f32      = 1e-3,
    .rule               = attention_pool_rule,
    .example            = attention_pool_example,
    .no_gradient_inputs = 1u << 2,
};
