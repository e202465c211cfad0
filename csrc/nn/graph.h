/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks as graphs of operators, and plans that run them.
 *
 * sg_graph   what is computed: nodes in an order in which inputs come before their users, the last node being the output.
 *            Immutable, without numbers in it: parameters are one flat vector of the caller.
 * sg_plan    how it is computed: precision, instruction set, rows per chunk, and the place of every value in one workspace.
 *            Immutable; any number of threads may run one plan, each with its own workspace. */
#ifndef SG_NN_GRAPH_H
#define SG_NN_GRAPH_H

#include "nn/ops.h"

typedef struct sg_graph sg_graph;
typedef struct sg_plan  sg_plan;

typedef struct sg_node {
    sg_op_id           op;
    int                n_inputs;
    int                input[SG_OP_MAX_INPUTS];        /* numbers of earlier nodes */
    sg_attribute_value attribute[SG_OP_MAX_ATTRIBUTES]; /* in the order of the operator's table entry; n = 0: default */
} sg_node;

enum { SG_GRAPH_MAX_NODES = 4096 };

/* The nodes are copied. Every node must lead to the last one. SG_ERR_VALUE or SG_ERR_SHAPE names the node. */
sg_status sg_graph_create(int n_nodes, const sg_node *nodes, sg_graph **graph, sg_error *error);
void      sg_graph_free(sg_graph *graph);

int               sg_graph_n_nodes(const sg_graph *graph);
const sg_node    *sg_graph_node(const sg_graph *graph, int node);
const sg_op_site *sg_graph_site(const sg_graph *graph, int node);
size_t            sg_graph_offset(const sg_graph *graph, int node); /* of the node's parameters in the flat vector [elements] */
size_t            sg_graph_n_parameters(const sg_graph *graph);
size_t            sg_graph_n_in(const sg_graph *graph);   /* elements of one input row  */
size_t            sg_graph_n_out(const sg_graph *graph);  /* elements of one output row */
double            sg_graph_flops(const sg_graph *graph);  /* of one forward row         */
int               sg_graph_flags(const sg_graph *graph);  /* of all operators: SG_OP_RANDOM, SG_OP_COUPLES_ROWS ... */

/* bits: 32 or 64. chunk_rows: largest number of rows of one call; 0 picks one from the sizes of the network alone (not from the
 * machine, because the order of sums over rows depends on it), a multiple of row_group (>= 1), such that a chunk stays in L2. */
sg_status sg_plan_create(const sg_graph *graph, int bits, sg_plan_mode mode, size_t chunk_rows, size_t row_group,
                         sg_plan **plan, sg_error *error);
void      sg_plan_free(sg_plan *plan); /* before its graph */

size_t sg_plan_chunk_rows(const sg_plan *plan);
size_t sg_plan_workspace_bytes(const sg_plan *plan); /* of each thread */
size_t sg_plan_packed_bytes(const sg_plan *plan);    /* shared by all threads */

/* Rearranges parameters for the kernels. Call after every change of parameters. */
void sg_plan_prepare(const sg_plan *plan,
                     const void *parameters,  /* (n_parameters)           */
                     void       *packed);     /* sg_plan_packed_bytes     */

/* Where the parts of a chunk are in the workspace: the caller fills the input rows and reads the output rows. */
void  sg_plan_set_input(const sg_plan *plan, size_t row, const void *x /* (n_in) */, void *workspace);
void *sg_plan_output(const sg_plan *plan, void *workspace);           /* (n_rows, n_out)                        */
void *sg_plan_output_gradient(const sg_plan *plan, void *workspace);  /* (n_rows, n_out), to be filled before backward */
void  sg_plan_get_input_gradient(const sg_plan *plan, size_t row, const void *workspace, void *d_x /* (n_in) */);
void  sg_plan_set_input_tangent(const sg_plan *plan, size_t row, const void *t_x /* (n_in) */, void *workspace);
void *sg_plan_output_tangent(const sg_plan *plan, void *workspace);   /* (n_rows, n_out)                        */

/* random: NULL in inference; in training (dropout on, statistics of the batch) where random operators find their numbers. */
void sg_plan_forward(const sg_plan *plan, size_t n_rows, const void *parameters, const void *packed, void *workspace,
                     const sg_op_random *random);

/* Forward of a plan for inference with one input node: its rows are read and its results written where they are, which saves two
 * copies of what may be whole fields. */
int  sg_plan_takes_rows(const sg_plan *plan);
void sg_plan_forward_rows(const sg_plan *plan, size_t n_rows,
                          const void *x, /* (n_rows, n_in)  */
                          void       *y, /* (n_rows, n_out) */
                          const void *parameters, const void *packed, void *workspace);

/* Right after forward of the same rows in the same workspace with the same random. add: add to d_parameters, else overwrite it.
 * d_parameters NULL: not wanted. */
void sg_plan_backward(const sg_plan *plan, size_t n_rows, const void *parameters, const void *packed, void *workspace,
                      const sg_op_random *random, void *d_parameters, int add);

/* Forward and tangent in one, in a plan of mode SG_PLAN_TANGENT. */
void sg_plan_tangent(const sg_plan *plan, size_t n_rows, const void *parameters, const void *packed, void *workspace);

/* Whole arrays, chunk by chunk on num_threads threads; workspaces are allocated inside. random as above. */
sg_status sg_graph_forward(const sg_graph *graph, int bits, size_t n_rows,
                           const void *parameters,  /* (n_parameters)   */
                           const void *x,           /* (n_rows, n_in)   */
                           void       *y,           /* (n_rows, n_out)  */
                           const sg_op_random *random, int num_threads, sg_error *error);

/* Jacobian-vector products: y and its derivative along t_x. */
sg_status sg_graph_tangent(const sg_graph *graph, int bits, size_t n_rows,
                           const void *parameters,  /* (n_parameters)             */
                           const void *x,           /* (n_rows, n_in)             */
                           const void *t_x,         /* (n_rows, n_in) direction   */
                           void       *y,           /* (n_rows, n_out)            */
                           void       *t_y,         /* (n_rows, n_out)            */
                           int num_threads, sg_error *error);

/* Vector-Jacobian products: gradients of sum(d_y * y). Partial sums over rows are added in an order fixed by n_rows; with
 * d_parameters they run on one thread. */
sg_status sg_graph_backward(const sg_graph *graph, int bits, size_t n_rows,
                            const void *parameters,    /* (n_parameters)                */
                            const void *x,             /* (n_rows, n_in)                */
                            const void *d_y,           /* (n_rows, n_out)               */
                            void       *d_parameters,  /* (n_parameters), may be NULL   */
                            void       *d_x,           /* (n_rows, n_in), may be NULL   */
                            const sg_op_random *random, int num_threads, sg_error *error);

#endif
