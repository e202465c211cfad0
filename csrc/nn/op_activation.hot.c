/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/activation_rows.h"
#include "nn/ops.h"

enum { ACTIVATION, PARAMETER };

static void forward(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sg_activate_rows((sg_activation)site->attribute[ACTIVATION].v[0], (real)site->attribute[PARAMETER].v[0],
                     call->n_rows * site->out_size, call->in[0], call->out);
}

static void backward(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    if (call->d_in[0])
        sg_activate_rows_back((sg_activation)site->attribute[ACTIVATION].v[0], (real)site->attribute[PARAMETER].v[0],
                              call->n_rows * site->out_size, call->in[0], call->out, call->d_out, call->d_in[0],
                              call->add_in[0]);
}

static void tangent(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sg_activate_rows_back((sg_activation)site->attribute[ACTIVATION].v[0], (real)site->attribute[PARAMETER].v[0],
                          call->n_rows * site->out_size, call->in[0], call->out, call->t_in[0], call->t_out, 0);
}

const sg_op_kernel SG_HOT(sg_op_kernel_activation) = {NULL, forward, backward, tangent};
