/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes of an upsampling layer, shared by its rule and its kernels. Missing leading dimensions are 1. */
#ifndef SG_NN_OP_UPSAMPLE_H
#define SG_NN_OP_UPSAMPLE_H

#include "nn/ops.h"

typedef enum sg_upsample_method { SG_UPSAMPLE_NEAREST, SG_UPSAMPLE_LINEAR } sg_upsample_method;

typedef struct sg_upsample {
    size_t             n[3], factor[3], n_channels; /* positions of the input, outputs for each */
    sg_upsample_method method;
} sg_upsample;

sg_upsample sg_upsample_of(const sg_op_site *site);

#endif
