/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Chains of conditional one-dimensional laws: each number of an event is a normal number sent through a monotone spline, which a
 * network makes from features of the numbers before it, and through a curve of quantiles. What the features are, the caller says:
 * it computes those that a step needs, then runs the step, for blocks of events as columns.
 *
 * A chain never changes after it was made: any number of threads may run it, each with its own workspace. A step allocates
 * nothing. An event has the same bits whatever the block, its position and the instruction set (v3 and v4).
 */
#ifndef SG_NN_SPLINE_CHAIN_H
#define SG_NN_SPLINE_CHAIN_H

#include "base/cpu.h"
#include "nn/dense.h"

typedef struct sg_spline_chain sg_spline_chain;

enum { SG_SPLINE_CHAIN_BLOCK = 4 * SG_DENSE_BLOCK }; /* events of a step at most */

typedef struct sg_spline_chain_step {
    size_t                    n_layers;
    const sg_dense_layer_f32 *layers;  /* from features to 3 bins - 1: widths, heights, slopes as in op_spline_coupling.c */
    size_t                    bins;    /* 2 .. 32 */
    float                     bound;   /* the spline acts in [-bound, bound] */
    size_t                    n_knots; /* >= 2 */
    const float              *knots;   /* (n_knots) values at equal distances of the number in [-edge, edge], not falling */
    float                     edge;    /* > 0; beyond it the value is that of the last knot */
} sg_spline_chain_step;

/* Everything is copied. SG_ERR_VALUE, SG_ERR_SHAPE name the step; SG_ERR_MEMORY. */
sg_status sg_spline_chain_create(size_t n_steps, const sg_spline_chain_step *steps, sg_spline_chain **chain, sg_error *error);
void      sg_spline_chain_free(sg_spline_chain *chain); /* NULL is allowed */

size_t sg_spline_chain_n_steps(const sg_spline_chain *chain);
size_t sg_spline_chain_n_features(const sg_spline_chain *chain, size_t step);
double sg_spline_chain_flops(const sg_spline_chain *chain, size_t step); /* of the network's products, for one event */
size_t sg_spline_chain_workspace_bytes(const sg_spline_chain *chain);    /* per thread, a multiple of 64 */

/* One number of n events. workspace: aligned to 64 bytes. */
void sg_spline_chain_run(const sg_spline_chain *chain, size_t step,
                         size_t       n,        /* <= SG_SPLINE_CHAIN_BLOCK                              */
                         size_t       stride,   /* of a column                                           */
                         const float *features, /* (n_features of the step, stride)                      */
                         const float *normal,   /* (n) [1] standard normal                               */
                         float       *value,    /* (n)                                                   */
                         void        *workspace);

/* The parts of a step behind the network. */
#define SG_SPLINE_CHAIN_TABLE(real)                                                                                          \
    {                                                                                                                        \
        void (*inverse)(size_t n, size_t stride, size_t bins, real bound, const real *conditioner /* (3 bins - 1, stride) */, \
                        const real *y /* (n) */, real *x /* (n) */);                                                         \
        void (*look_up)(size_t n, size_t n_knots, const real *knots, real edge, const real *x /* (n) */,                     \
                        real *value /* (n) */);                                                                              \
    }
typedef struct sg_spline_chain_f32 SG_SPLINE_CHAIN_TABLE(float) sg_spline_chain_f32;
typedef struct sg_spline_chain_f64 SG_SPLINE_CHAIN_TABLE(double) sg_spline_chain_f64;

SG_ISA_DECLARE(sg_spline_chain_f32, sg_nn_spline_chain_f32);
SG_ISA_DECLARE(sg_spline_chain_f64, sg_nn_spline_chain_f64);

#endif
