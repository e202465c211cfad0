/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks ready to run: a graph with its parameters, copied and packed once. A chain of dense layers runs in the fused blocks of
 * dense.h, any other graph in a plan of graph.h, block by block of rows.
 *
 * A net never changes: any number of threads may run it, each with its own workspace. A run allocates nothing. A row has the same
 * bits whatever the number of rows, its position, the strides and the number of threads. */
#ifndef SG_NN_INFER_H
#define SG_NN_INFER_H

#include "nn/dense.h"
#include "nn/graph.h"

typedef struct sg_net sg_net;

typedef enum sg_net_task {
    SG_NET_EVAL,  /* outputs (n_rows, n_out) of inputs x (n_rows, n_in)                                                   */
    SG_NET_JVP,   /* from a direction d (n_rows, n_in) of the inputs to the derivative of the outputs along it            */
    SG_NET_VJP    /* from d (n_rows, n_out), a gradient with respect to the outputs, to that with respect to the inputs   */
} sg_net_task;

/* graph and parameters (n_parameters, float or double as bits says) are copied. derivatives: 0 for a net that will only be
 * evaluated, which saves the memory of their packed weights. */
sg_status sg_net_create(const sg_graph *graph, int bits, const void *parameters, int derivatives, sg_net **net, sg_error *error);
/* Takes the plan over, also when it fails. */
sg_status sg_net_from_dense(sg_dense_plan *plan, sg_net **net, sg_error *error);
void      sg_net_free(sg_net *net); /* NULL is allowed */

size_t      sg_net_n_in(const sg_net *net);
size_t      sg_net_n_out(const sg_net *net);
int         sg_net_bits(const sg_net *net);   /* 32 or 64                                                     */
const char *sg_net_isa(const sg_net *net);    /* the instruction set it was packed for: "v4" ...              */
double      sg_net_flops(const sg_net *net);  /* of one row evaluated                                         */
int         sg_net_is_fused(const sg_net *net);
int         sg_net_has_derivatives(const sg_net *net);

size_t sg_net_workspace_bytes(const sg_net *net, sg_net_task task);              /* per thread, a multiple of 64 */
int    sg_net_threads(const sg_net *net, size_t n_rows, int num_threads);        /* that a threaded run would use */

/* Inputs x, d (NULL in SG_NET_EVAL) and results as in dense.h, with its load and store hooks. workspace: aligned to 64 bytes. The
 * calls are of the net's precision. threads: num_threads as in base/threads.h, workspaces one after the other. */
#define SG_NET_DECLARE(bits)                                                                                                     \
    void sg_net_run_f##bits(const sg_net *net, sg_net_task task, size_t n_rows, const sg_dense_input_f##bits *x,                 \
                            const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *out, void *workspace);               \
    void sg_net_run_threads_f##bits(const sg_net *net, sg_net_task task, size_t n_rows, const sg_dense_input_f##bits *x,         \
                                    const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *out, int num_threads,        \
                                    void *workspace)

SG_NET_DECLARE(32);
SG_NET_DECLARE(64);

#endif
