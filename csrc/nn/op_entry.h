/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts that entries of the operator table (op_NAME.c) are made of. */
#ifndef SG_NN_OP_ENTRY_H
#define SG_NN_OP_ENTRY_H

#include "base/memory.h"
#include "nn/activation.h"
#include "nn/ops.h"

/* Values of sg_attribute.standard. */
#define SG_OP_ONE(x) {1, {x}}
#define SG_OP_REQUIRED {0, {0}}

#define SG_OP_COUNT_OF(array) (int)(sizeof(array) / sizeof((array)[0]))

/* Attributes of operators that end with an activation; their rule calls sg_op_default_parameter. */
extern const char *const sg_op_activation_names[];
#define SG_OP_ACTIVATION_ATTRIBUTES                                                                              \
    {"activation", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(SG_ACTIVATION_linear), 0, 0, sg_op_activation_names,           \
     "function applied to every element"},                                                                       \
    {"parameter", SG_ATTRIBUTE_REAL, SG_OP_REQUIRED, 0, 100, NULL,                                               \
     "slope of leaky_relu below zero (default 0.01), alpha of elu (default 1); not used by the others"}

/* Fills in the attribute parameter, whose default depends on the activation. */
void sg_op_default_parameter(sg_op_site *site);

int      sg_shape_same(const sg_shape *a, const sg_shape *b);
size_t   sg_op_channels(const sg_shape *shape);                   /* the last dimension            */
sg_shape sg_op_with_channels(sg_shape shape, size_t n);           /* the same shape, n channels    */
size_t   sg_op_integer(const sg_op_site *site, const char *name); /* value of an integer or choice */

/* one has a number for all channels of every position of all: the same shape with last dimension 1, or without it. */
int sg_op_is_one_channel(const sg_shape *one, const sg_shape *all);
/* Input items is a set (n_items, channels), and input mask, if there is one, (n_items). */
sg_status sg_op_check_set(const sg_op_site *site, int items, int mask, sg_error *error);

/* Appends a parameter; offsets are given by sg_op_resolve. fan_in and fan_out are for SG_INIT_WEIGHT. */
void sg_op_add_parameter(sg_op_site *site, const char *name, sg_shape shape, sg_init init, size_t fan_in, size_t fan_out);
void sg_op_add_constant(sg_op_site *site, const char *name, sg_shape shape, sg_init init);
void sg_op_add_statistic(sg_op_site *site, const char *name, sg_shape shape, sg_init init, double momentum);

/* For examples: sets an attribute by name, and an input's shape. */
void sg_op_set(sg_op_site *site, const char *name, double value);
void sg_op_set_input(sg_op_site *site, int input, sg_shape shape);
/* A size below, at or above vector widths and tile heights, never a round number: 1, 2, 3, 5, 7, 17 or 33. */
size_t sg_op_draw_size(sg_op_draw *draw);

#endif
