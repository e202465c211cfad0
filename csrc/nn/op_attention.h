/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of attention, for the entries of op_attention and op_attention_pool. */
#ifndef SG_NN_OP_ATTENTION_H
#define SG_NN_OP_ATTENTION_H

#include "nn/op_entry.h"

/* Sets saved_per_row (the shares), scratch_per_row (shares of a query and head, two transposed sets, scores) and
 * flops. */
static inline void sg_op_attention_memory(sg_op_site *site, size_t n_queries, size_t n_items, size_t n_heads,
                                          size_t n_key, size_t n_value)
{
    const size_t n_wide   = n_key > n_value ? n_key : n_value;
    site->saved_per_row   = sg_size_mul(sg_size_mul(n_queries, n_heads), n_items);
    site->scratch_per_row = sg_size_mul(2 * n_wide + 2, n_items);
    site->flops           = 2.0 * (double)n_queries * (double)n_items * (double)(n_key + n_value);
}

#endif
