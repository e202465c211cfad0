/* SPDX-License-Identifier: BSD-3-Clause */
/* What the entries of coupling layers of normalising flows share. */
#ifndef SG_NN_OP_COUPLING_H
#define SG_NN_OP_COUPLING_H

#include "nn/op_entry.h"

extern const char *const sg_op_direction_names[]; /* forward, inverse */
#define SG_OP_DIRECTION_ATTRIBUTE                                                                            \
    {"direction",                                                                                            \
     SG_ATTRIBUTE_CHOICE,                                                                                    \
     SG_OP_ONE(0),                                                                                           \
     0,                                                                                                      \
     0,                                                                                                      \
     sg_op_direction_names,                                                                                  \
     "forward, or its inverse, which takes the same conditioner"}

/* Inputs x (n channels) and conditioner (per_channel n channels), result n + 1 channels; scratch of n per
 * position. */
sg_status sg_op_coupling_rule(sg_op_site *site, size_t per_channel, sg_error *error);

void sg_op_coupling_example(sg_op_draw *draw, sg_op_site *site, size_t per_channel);

#endif
