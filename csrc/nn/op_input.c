/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"

static const sg_attribute input_attributes[] = {
    {"shape", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "shape of one row, channels last"},
};

static sg_status input_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    const sg_attribute_value *shape = &site->attribute[0];
    site->out.rank                  = shape->n;
    for (int i = 0; i < shape->n; i++)
        site->out.dim[i] = (size_t)shape->v[i];
    return SG_OK;
}

const sg_op sg_op_entry_input = {
    .name         = "input",
    .doc          = "A part of the network's input row. Several inputs lie side by side in the row, in order of the graph.",
    .n_attributes = SG_OP_COUNT_OF(input_attributes),
    .attributes   = input_attributes,
    .rule         = input_rule,
};
