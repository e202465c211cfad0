/* SPDX-License-Identifier: BSD-3-Clause */
/* The tangent of an operator that is linear in its inputs: forward of the direction. For hot files. */
#ifndef SG_NN_OP_LINEAR_H
#define SG_NN_OP_LINEAR_H

#include <string.h>

#include "nn/ops.h"

static inline void sg_op_linear_tangent(void (*forward)(const sg_op_call *call), const sg_op_call *call)
{
    sg_op_call along = *call;
    memcpy(along.in, call->t_in, sizeof along.in);
    along.out = call->t_out;
    forward(&along);
}

#endif
