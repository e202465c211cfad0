/* SPDX-License-Identifier: BSD-3-Clause */
/* Modes of the operator pad, in the order of its choices. */
#ifndef SG_NN_OP_PAD_H
#define SG_NN_OP_PAD_H

typedef enum sg_pad_mode { SG_PAD_ZERO, SG_PAD_PERIODIC, SG_PAD_REPLICATE, SG_PAD_REFLECT } sg_pad_mode;

#endif
