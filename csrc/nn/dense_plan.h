/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of a dense plan: shared by dense.c, which makes plans, and dense.hot.c, which runs them. */
#ifndef SG_NN_DENSE_PLAN_H
#define SG_NN_DENSE_PLAN_H

#include "base/cpu.h"
#include "nn/dense.h"

typedef struct sg_dense_step {
    size_t        n_in, n_out;
    sg_activation activation;
    double        parameter;
    void         *weight;      /* (n_panels, n_in, panel), padded with zeros            */
    void         *bias;        /* (n_panels * panel), padded with zeros                 */
    void         *transposed;  /* the same of the transposed weights, (n_out, n_in)     */
    size_t        y, z;        /* where derivatives keep a block of results, and of sums before the activation [bytes] */
} sg_dense_step;

typedef struct sg_dense_kernels {
    size_t panel;  /* neurons in a panel of packed weights */
    /* Rows first .. first + n_rows - 1 of input and output (sg_dense_input_f32 or _f64 ...) in the calling thread. */
    void (*eval)(const sg_dense_plan *plan, size_t first, size_t n_rows, const void *input, const void *output, int thread,
                 void *workspace);
    /* The same for derivatives: d is a direction of the inputs (jvp) or a gradient with respect to the outputs (vjp). */
    void (*jvp)(const sg_dense_plan *plan, size_t first, size_t n_rows, const void *input, const void *d, const void *output,
                int thread, void *workspace);
    void (*vjp)(const sg_dense_plan *plan, size_t first, size_t n_rows, const void *input, const void *d, const void *output,
                int thread, void *workspace);
} sg_dense_kernels;

struct sg_dense_plan {
    const sg_dense_kernels *kernels;
    sg_isa                  isa;
    int                     bits;
    size_t                  n_layers, n_in, n_out;
    size_t                  half;  /* bytes of one of the two halves of a workspace: a block of the widest layer */
    size_t                  derivative_bytes;  /* workspace of jvp and vjp; the inputs of a block lie behind two halves     */
    void                   *zeros;             /* as many as the widest layer has padded columns                            */
    double                  flops;
    sg_dense_step           step[];  /* (n_layers), weights and biases behind it in the same allocation */
};

/* Elements from one row to the next in a scratch block of n columns. Rows a multiple of 2 KiB apart would fall into
 * the same few sets of the L1 cache, so they get one cache line more. */
static inline size_t sg_dense_ld(size_t n, size_t element_bytes)
{
    size_t line = 64 / element_bytes, ld = (n + line - 1) / line * line;
    return ld * element_bytes % 2048 == 0 ? ld + line : ld;
}

#endif
