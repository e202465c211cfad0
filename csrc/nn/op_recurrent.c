/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_recurrent.h"

#include "nn/op_entry.h"

const char *const sg_recurrent_output_names[] = {"sequence", "last", NULL};

sg_status sg_recurrent_rule(sg_op_site *site, size_t n_gates, sg_error *error)
{
    if (site->in[0].rank != 2)
        return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected shape (steps, channels), got %d dimensions",
                       site->in[0].rank);
    const size_t n_steps = site->in[0].dim[0], n_x = site->in[0].dim[1], n_h = sg_op_integer(site, "units");
    site->out = site->in[0];
    if (sg_op_integer(site, "output") == SG_RECURRENT_LAST)
        site->out = (sg_shape){1, {n_h}};
    else
        site->out.dim[1] = n_h;
    const size_t n_gate = n_gates * n_h;
    sg_op_add_parameter(site, "weight", (sg_shape){2, {n_x, n_gate}}, SG_INIT_WEIGHT, n_x, n_h);
    sg_op_add_parameter(site, "recurrent_weight", (sg_shape){2, {n_h, n_gate}}, SG_INIT_WEIGHT, n_h, n_h);
    sg_op_add_parameter(site, "bias", (sg_shape){1, {n_gate}}, SG_INIT_ZERO, n_x, n_h);
    site->flops = 2.0 * (double)n_steps * (double)(n_x + n_h) * (double)n_gate;
    return SG_OK;
}

/* A small case: 1 to 3 steps, so that the first, a middle and the last one are there. */
void sg_recurrent_example(sg_op_draw *draw, sg_op_site *site)
{
    sg_op_set_input(site, 0, (sg_shape){2, {sg_op_draw_integer(draw, 1, 3), sg_op_draw_size(draw)}});
    sg_op_set(site, "units", (double)sg_op_draw_size(draw));
    sg_op_set(site, "output", (double)sg_op_draw_integer(draw, 0, 1));
    sg_op_set(site, "reverse", (double)sg_op_draw_integer(draw, 0, 1));
}
