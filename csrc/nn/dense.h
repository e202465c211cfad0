/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fused inference of a chain of dense layers. The weights are packed once into an immutable plan for the instruction
 * set in use; an evaluation takes a block of rows through all layers while it is in L1/L2, with bias and activation
 * applied in registers.
 *
 * Every output is one chain of multiply-adds over the inputs in order, starting from the bias: a row has the same
 * bits whatever the batch size, its position, the strides, the number of threads, and the instruction set (v3 and
 * v4).
 *
 * An evaluation allocates nothing, runs in the calling thread (sg_dense_eval_threads_* excepted) and may run in any number of
 * threads at once on one plan, each with its own workspace.
 */
#ifndef SG_NN_DENSE_H
#define SG_NN_DENSE_H

#include "base/error.h"
#include "nn/activation.h"

typedef struct sg_dense_plan sg_dense_plan;

/* The same for float (f32) and double (f64):
 *
 * sg_dense_layer_f32
 *     One layer y = activation(x W + b). bias may be NULL for zeros; parameter as in activation.h. Read only while
 *     the plan is made.
 *
 * sg_dense_input_f32
 *     Where the rows come from: element (row, column) at data[row * row_stride + column * column_stride], strides in
 *     elements, any sign. If load is given, data is ignored and load fills one block of at most SG_DENSE_BLOCK rows
 *     with the inputs of the network: row first + r, column c at block[c * ld + r], r = 0 .. n_rows-1. Elements r >=
 *     n_rows are not looked at; those with n_rows <= r < ld may be written. ld is n_rows or a multiple of 16.
 *
 * sg_dense_output_f32
 *     Where the results go, likewise; it must not overlap the input. If store is given, it gets the outputs of the
 *     network in a block of the same layout and puts them where they belong. thread is 0 .. num_threads-1, for
 *     counters and scratch of one's own.
 *
 * sg_dense_plan_create_f32
 *     Checks the chain and packs it. *plan is for sg_dense_plan_free. Errors: SG_ERR_VALUE, SG_ERR_SHAPE, SG_ERR_MEMORY.
 *
 * sg_dense_eval_f32
 *     Evaluates n_rows rows in the calling thread. workspace: sg_dense_workspace_bytes(plan) bytes, aligned to 64 bytes.
 *     The plan must have been made for the same precision.
 *
 * sg_dense_eval_threads_f32
 *     The same over OpenMP threads; num_threads as in base/threads.h. workspace: one after the other for each of the
 *     sg_dense_threads(n_rows, num_threads) threads.
 *
 * sg_dense_jvp_f32, sg_dense_vjp_f32
 *     Derivatives at the input rows, in the calling thread. jvp: from a direction d (n_rows, n_in) of the inputs to the
 *     derivative of the outputs along it, (n_rows, n_out). vjp: from d (n_rows, n_out), the gradient of a number with
 *     respect to the outputs, to its gradient with respect to the inputs, (n_rows, n_in). At a kink the slope is that of
 *     the left side. workspace: sg_dense_derivative_bytes(plan) bytes, aligned to 64 bytes.
 *
 * sg_dense_reference_f32
 *     The oracle of the tests: one layer by the plain loops of its definition, in double; x (n_rows, n_in), y
 *     (n_rows, n_out) row-major.
 */
#define SG_DENSE_DECLARE(bits, real)                                                                                      \
    typedef struct sg_dense_layer_f##bits {                                                                               \
        size_t        n_in, n_out;                                                                                        \
        const real   *weight; /* (n_in, n_out) row-major */                                                               \
        const real   *bias;   /* (n_out) or NULL         */                                                               \
        sg_activation activation;                                                                                         \
        double        parameter;                                                                                          \
    } sg_dense_layer_f##bits;                                                                                             \
    typedef struct sg_dense_input_f##bits {                                                                               \
        const real *data;                                                                                                 \
        ptrdiff_t   row_stride, column_stride;                                                                            \
        void (*load)(void *context, int thread, size_t first, size_t n_rows, real *block, size_t ld);                     \
        void *context;                                                                                                    \
    } sg_dense_input_f##bits;                                                                                             \
    typedef struct sg_dense_output_f##bits {                                                                              \
        real     *data;                                                                                                   \
        ptrdiff_t row_stride, column_stride;                                                                              \
        void (*store)(void *context, int thread, size_t first, size_t n_rows, const real *block, size_t ld);              \
        void *context;                                                                                                    \
    } sg_dense_output_f##bits;                                                                                            \
    sg_status sg_dense_plan_create_f##bits(size_t n_layers, const sg_dense_layer_f##bits *layers, sg_dense_plan **plan,   \
                                           sg_error *error);                                                              \
    void sg_dense_eval_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,             \
                               const sg_dense_output_f##bits *output, void *workspace);                                   \
    void sg_dense_eval_threads_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,     \
                                       const sg_dense_output_f##bits *output, int num_threads, void *workspace);          \
    void sg_dense_jvp_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,              \
                              const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *output, void *workspace);   \
    void sg_dense_vjp_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,              \
                              const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *output, void *workspace);   \
    void sg_dense_reference_f##bits(const sg_dense_layer_f##bits *layer, size_t n_rows, const double *x, double *y)

SG_DENSE_DECLARE(32, float);
SG_DENSE_DECLARE(64, double);

/* Rows taken through all layers at once; a multiple of every tile height and of every pair of vectors. */
#define SG_DENSE_BLOCK 96

void        sg_dense_plan_free(sg_dense_plan *plan);             /* NULL is allowed */
size_t      sg_dense_workspace_bytes(const sg_dense_plan *plan); /* per thread, a multiple of 64 */
size_t      sg_dense_derivative_bytes(const sg_dense_plan *plan); /* the same for jvp and vjp */
size_t      sg_dense_n_in(const sg_dense_plan *plan);
size_t      sg_dense_n_out(const sg_dense_plan *plan);
int         sg_dense_bits(const sg_dense_plan *plan);            /* 32 or 64 */
const char *sg_dense_isa(const sg_dense_plan *plan);             /* the instruction set it was packed for: "v4" ... */
double      sg_dense_flops(const sg_dense_plan *plan);           /* per row: 2 for each weight, nothing else */
int         sg_dense_threads(size_t n_rows, int num_threads);    /* threads that sg_dense_eval_threads_* would use */

#endif
