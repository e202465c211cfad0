/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"
#include "nn/op_pad.h"

static const char *const mode_names[] = {"zero", "periodic", "replicate", "reflect", NULL};

enum { BEFORE, AFTER, MODE }; /* attributes, in the order of the table */

static const sg_attribute pad_attributes[] = {
    {"before", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 0, 1 << 16, NULL, "positions added before the field, for all dimensions or for each"},
    {"after", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 0, 1 << 16, NULL, "positions added behind the field, for all dimensions or for each"},
    {"mode", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(SG_PAD_ZERO), 0, 0, mode_names,
     "what is there: zeros; periodic: the field again; replicate: the nearest value; reflect: the field mirrored at its last position"},
};

static sg_status pad_rule(sg_op_site *site, sg_error *error)
{
    const int rank = site->in[0].rank - 1, mode = (int)sg_op_integer(site, "mode");
    if (rank < 1)
        return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected a field with channels last, got %d dimension", site->in[0].rank);
    site->out = site->in[0];
    for (int i = BEFORE; i <= AFTER; i++) {
        const sg_attribute_value *width = &site->attribute[i];
        if (width->n != 1 && width->n != rank)
            return sg_fail(error, SG_ERR_VALUE, pad_attributes[i].name, "expected 1 or %d numbers for a field of %d dimensions, got %d",
                           rank, rank, width->n);
        for (int d = 0; d < rank; d++) {
            const size_t n = site->in[0].dim[d], w = (size_t)width->v[width->n == 1 ? 0 : d];
            if ((mode == SG_PAD_PERIODIC && w > n) || (mode == SG_PAD_REFLECT && w >= n))
                return sg_fail(error, SG_ERR_VALUE, pad_attributes[i].name, "%zu positions of dimension %d cannot be made from %zu",
                               w, d, n);
            site->out.dim[d] += w;
        }
    }
    return SG_OK;
}

static void pad_example(sg_op_draw *draw, sg_op_site *site)
{
    const int rank  = (int)sg_op_draw_integer(draw, 1, 3);
    sg_shape  shape = {rank + 1, {0}};
    for (int d = 0; d < rank; d++)
        shape.dim[d] = sg_op_draw_integer(draw, 3, rank == 1 ? 9 : 4);
    shape.dim[rank] = rank == 3 ? 2 : sg_op_draw_size(draw);
    sg_op_set_input(site, 0, shape);
    for (int i = BEFORE; i <= AFTER; i++) {
        site->attribute[i].n = sg_op_draw_integer(draw, 0, 1) ? rank : 1;
        for (int d = 0; d < site->attribute[i].n; d++)
            site->attribute[i].v[d] = (double)sg_op_draw_integer(draw, 0, 2);
    }
    sg_op_set(site, "mode", (double)sg_op_draw_integer(draw, 0, SG_PAD_REFLECT));
}

const sg_op sg_op_entry_pad = {
    .name          = "pad",
    .doc           = "A field with positions added around it; its channels (last dimension) stay.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(pad_attributes),
    .attributes    = pad_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = pad_rule,
    .example       = pad_example,
};
