/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute slice_attributes[] = {
    {"start", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 0, SG_OP_MAX_SIZE, NULL, "first channel"},
    {"stop", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "one past the last channel"},
};

static sg_status slice_rule(sg_op_site *site, sg_error *error)
{
    size_t start = sg_op_integer(site, "start"), stop = sg_op_integer(site, "stop"), n = sg_op_channels(&site->in[0]);
    if (start >= stop || stop > n)
        return sg_fail(error, SG_ERR_VALUE, "stop", "expected start < stop <= %zu channels, got start %zu and stop %zu", n,
                       start, stop);
    site->out = sg_op_with_channels(site->in[0], stop - start);
    return SG_OK;
}

static void slice_example(sg_op_draw *draw, sg_op_site *site)
{
    const size_t n = sg_op_draw_size(draw), start = sg_op_draw_integer(draw, 0, n - 1),
                 stop = sg_op_draw_integer(draw, start + 1, n);
    sg_op_set_input(site, 0, (sg_shape){2, {sg_op_draw_integer(draw, 1, 3), n}});
    site->attribute[0] = (sg_attribute_value){1, {(double)start}};
    site->attribute[1] = (sg_attribute_value){1, {(double)stop}};
}

const sg_op sg_op_entry_slice = {
    .name          = "slice",
    .doc           = "Channels start .. stop-1 (last dimension).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(slice_attributes),
    .attributes    = slice_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = slice_rule,
    .example       = slice_example,
};
