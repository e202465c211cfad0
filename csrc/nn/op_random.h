/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a random operator finds its numbers: one Philox stream for each node and training step, in it the
 * elements of the rows of the batch one after the other, so that the numbers of a row do not depend on chunks
 * or threads. */
#ifndef SG_NN_OP_RANDOM_H
#define SG_NN_OP_RANDOM_H

#include "base/philox.h"
#include "nn/ops.h"

/* The upper half of all streams belongs to operators: start values and orders of rows (init.c) are in the
 * lower one. */
static inline uint64_t sg_op_random_stream(const sg_op_random *random)
{
    return (uint64_t)1 << 63 | random->step << 16 | random->node;
}

/* Index in the stream of the first number of the call, with n numbers for each row. */
static inline uint64_t sg_op_random_first(const sg_op_random *random, size_t n)
{
    return random->first_row * n;
}

#endif
