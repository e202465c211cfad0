/* SPDX-License-Identifier: BSD-3-Clause */
/* What the table entries and the kernels of recurrent layers agree on: attributes, and the layout of scratch
 * and saved blocks. */
#ifndef SG_NN_OP_RECURRENT_H
#define SG_NN_OP_RECURRENT_H

#include "nn/ops.h"

/* Attributes in the order of the table, and the choices of output. */
enum { SG_RECURRENT_UNITS, SG_RECURRENT_OUTPUT, SG_RECURRENT_REVERSE };
enum { SG_RECURRENT_SEQUENCE, SG_RECURRENT_LAST };

extern const char *const sg_recurrent_output_names[];

#define SG_RECURRENT_ATTRIBUTES                                                                             \
    {"units", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE / 4, NULL, "channels of the state"},      \
    {"output", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(SG_RECURRENT_SEQUENCE), 0, 0, sg_recurrent_output_names,      \
     "the state after every step (steps, units), or after the last one taken (units)"},                     \
    {"reverse", SG_ATTRIBUTE_INT, SG_OP_ONE(0), 0, 1, NULL,                                                 \
     "1 takes the steps from the last to the first; a sequence still has the state of step t at t, so "     \
     "that both directions can be concatenated"}

/* Shapes and the parameters weight (channels, n_gates units), recurrent_weight (units, n_gates units), bias
 * (n_gates units). */
sg_status sg_recurrent_rule(sg_op_site *site, size_t n_gates, sg_error *error);
void      sg_recurrent_example(sg_op_draw *draw, sg_op_site *site);

/* Elements from one row to the next. Rows are whole cache lines; an odd number of them, because rows of gates
 * are read panel by panel, and a power of two would bring all rows of a panel into the same few sets of the
 * L1 cache. */
static inline size_t sg_recurrent_row(size_t n) { return ((n + 15) / 16 | 1) * 16; }

static inline size_t sg_recurrent_xh_row(size_t n_x, size_t n_h) { return sg_recurrent_row(n_x + n_h); }
static inline size_t sg_recurrent_gate_row(size_t n_h) { return sg_recurrent_row(4 * n_h); }
static inline size_t sg_recurrent_h_row(size_t n_h) { return sg_recurrent_row(n_h); }

/* Elements of a matrix (n_k, n_columns) in panels, padded to the widest panel of any instruction set (32
 * columns). */
static inline size_t sg_recurrent_panels(size_t n_k, size_t n_columns)
{
    return (n_columns + 31) / 32 * 32 * n_k;
}

#endif
