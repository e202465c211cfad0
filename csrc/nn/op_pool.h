/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes of a pooling layer, shared by its rule (op_pool.c) and its kernels (op_pool.hot.c). Fields of rank 1
 * and 2 are fields of rank 3 with leading dimensions of 1. */
#ifndef SG_NN_OP_POOL_H
#define SG_NN_OP_POOL_H

#include "nn/op_conv.h"

typedef struct sg_pool {
    sg_conv_dim dim[3]; /* kernel: size of the window; no dilation */
    size_t      n_channels;
} sg_pool;

sg_pool sg_pool_of(const sg_op_site *site);

typedef enum sg_pool_kind { SG_POOL_MAX, SG_POOL_AVERAGE } sg_pool_kind;

#endif
