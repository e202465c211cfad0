/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_coupling.h"

const char *const sg_op_direction_names[] = {"forward", "inverse", NULL};

sg_status sg_op_coupling_rule(sg_op_site *site, size_t per_channel, sg_error *error)
{
    const size_t   n    = sg_op_channels(&site->in[0]);
    const sg_shape like = sg_op_with_channels(site->in[0], per_channel * n);
    if (!sg_shape_same(&site->in[1], &like))
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected a conditioner with %zu channels for each of %zu, %zu in all, got %zu",
                       per_channel, n, per_channel * n, sg_op_channels(&site->in[1]));
    site->out             = sg_op_with_channels(site->in[0], n + 1);
    site->scratch_per_row = site->in_size[0];
    site->flops           = 4.0 * (double)site->in_size[1];
    return SG_OK;
}

void sg_op_coupling_example(sg_op_draw *draw, sg_op_site *site, size_t per_channel)
{
    const size_t n = sg_op_draw_integer(draw, 1, 7), n_positions = sg_op_draw_integer(draw, 1, 2);
    sg_op_set_input(site, 0, (sg_shape){2, {n_positions, n}});
    sg_op_set_input(site, 1, (sg_shape){2, {n_positions, per_channel * n}});
    sg_op_set(site, "direction", (double)sg_op_draw_integer(draw, 0, 1));
}
