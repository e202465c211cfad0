/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/infer.h"

#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "nn/dense_plan.h"

enum { N_TASKS = 3 };

static const sg_plan_mode mode_of[N_TASKS] = {SG_PLAN_INFER, SG_PLAN_TANGENT, SG_PLAN_ADJOINT};

struct sg_net {
    size_t         n_in, n_out;
    int            bits, derivatives;
    sg_isa         isa;
    double         flops;
    sg_dense_plan *dense;  /* a chain of dense layers; then nothing below is used */
    sg_graph      *graph;
    void          *parameters;
    sg_plan       *plan[N_TASKS];
    void          *packed[N_TASKS];
    size_t         row_bytes;  /* of a row of inputs or outputs, whichever is longer, rounded up to cache lines */
};

void sg_net_free(sg_net *net)
{
    if (!net)
        return;
    sg_dense_plan_free(net->dense);
    for (int task = 0; task < N_TASKS; task++) {
        sg_plan_free(net->plan[task]);
        sg_free(net->packed[task]);
    }
    sg_graph_free(net->graph);
    sg_free(net->parameters);
    sg_free(net);
}

/* -------------------------------------------------------------------------------------------------- chains of dense layers */
static double attribute(const sg_op_site *site, const char *name)
{
    return site->attribute[sg_op_attribute(site->op, name)].v[0];
}

/* Whether node i is a layer of a chain: dense on the vector before it, or an activation of a dense layer that has none. */
static int chain_node(const sg_graph *graph, int i)
{
    const sg_node    *node = sg_graph_node(graph, i);
    const sg_op_site *site = sg_graph_site(graph, i);
    if (i == 0)
        return node->op == SG_OP_input && site->out.rank == 1;
    if (node->n_inputs != 1 || node->input[0] != i - 1)
        return 0;
    if (node->op == SG_OP_dense)
        return 1;
    return node->op == SG_OP_activation && sg_graph_node(graph, i - 1)->op == SG_OP_dense &&
           attribute(sg_graph_site(graph, i - 1), "activation") == SG_ACTIVATION_linear;
}

static int is_chain(const sg_graph *graph)
{
    for (int i = 0; i < sg_graph_n_nodes(graph); i++)
        if (!chain_node(graph, i))
            return 0;
    return 1;
}

/* A layer of either precision: the two types differ only in what the pointers point to. */
#define SG_NET_CHAIN(bits, real)                                                                                              \
    static sg_status create_chain_f##bits(const sg_graph *graph, const real *parameters, sg_dense_plan **plan, sg_error *error) \
    {                                                                                                                         \
        sg_dense_layer_f##bits *layers;                                                                                       \
        size_t                  n = 0;                                                                                        \
        SG_TRY(sg_alloc_array(&layers, (size_t)sg_graph_n_nodes(graph), sizeof *layers, "layers", error));                    \
        for (int i = 1; i < sg_graph_n_nodes(graph); i++) {                                                                   \
            const sg_op_site *site = sg_graph_site(graph, i);                                                                 \
            if (sg_graph_node(graph, i)->op == SG_OP_dense)                                                                   \
                layers[n++] = (sg_dense_layer_f##bits){                                                                       \
                    .n_in   = site->in_size[0],                                                                               \
                    .n_out  = site->out_size,                                                                                 \
                    .weight = parameters + sg_graph_offset(graph, i) + site->parameter[0].offset,                             \
                    .bias   = parameters + sg_graph_offset(graph, i) + site->parameter[1].offset,                             \
                };                                                                                                            \
            layers[n - 1].activation = (sg_activation)attribute(site, "activation");                                          \
            layers[n - 1].parameter  = attribute(site, "parameter");                                                          \
        }                                                                                                                     \
        sg_status status = sg_dense_plan_create_f##bits(n, layers, plan, error);                                              \
        sg_free(layers);                                                                                                      \
        return status;                                                                                                        \
    }
SG_NET_CHAIN(32, float)
SG_NET_CHAIN(64, double)

/* ------------------------------------------------------------------------------------------------------------- other graphs */
static sg_status copy_graph(sg_net *net, const sg_graph *graph, sg_error *error)
{
    sg_node  *nodes;
    const int n = sg_graph_n_nodes(graph);
    SG_TRY(sg_alloc_array(&nodes, (size_t)n, sizeof *nodes, "graph", error));
    for (int i = 0; i < n; i++)
        nodes[i] = *sg_graph_node(graph, i);
    sg_status status = sg_graph_create(n, nodes, &net->graph, error);
    sg_free(nodes);
    return status;
}

static sg_status create_plans(sg_net *net, const sg_graph *graph, const void *parameters, sg_error *error)
{
    const size_t size = (size_t)net->bits / 8, longer = net->n_in > net->n_out ? net->n_in : net->n_out;
    net->row_bytes    = sg_round_up(longer * size, SG_ALIGNMENT);
    SG_TRY(copy_graph(net, graph, error));
    SG_TRY(sg_alloc_array(&net->parameters, sg_graph_n_parameters(graph), size, "parameters", error));
    memcpy(net->parameters, parameters, sg_graph_n_parameters(graph) * size);
    for (int task = 0; task < (net->derivatives ? N_TASKS : 1); task++) {
        SG_TRY(sg_plan_create(net->graph, net->bits, mode_of[task], 0, 1, &net->plan[task], error));
        SG_TRY(sg_alloc_array(&net->packed[task], sg_plan_packed_bytes(net->plan[task]), 1, "packed parameters", error));
        sg_plan_prepare(net->plan[task], net->parameters, net->packed[task]);
    }
    return SG_OK;
}

sg_status sg_net_create(const sg_graph *graph, int bits, const void *parameters, int derivatives, sg_net **result, sg_error *error)
{
    sg_net *net;
    *result = NULL;
    SG_TRY(sg_alloc_array(&net, 1, sizeof *net, "network", error));
    net->n_in        = sg_graph_n_in(graph);
    net->n_out       = sg_graph_n_out(graph);
    net->flops       = sg_graph_flops(graph);
    net->bits        = bits;
    net->derivatives = derivatives;
    net->isa         = sg_cpu_isa();
    sg_status status = !is_chain(graph) ? create_plans(net, graph, parameters, error)
                       : bits == 32     ? create_chain_f32(graph, parameters, &net->dense, error)
                                        : create_chain_f64(graph, parameters, &net->dense, error);
    if (status != SG_OK) {
        sg_net_free(net);
        return status;
    }
    *result = net;
    return SG_OK;
}

sg_status sg_net_from_dense(sg_dense_plan *plan, sg_net **result, sg_error *error)
{
    sg_net *net;
    *result          = NULL;
    sg_status status = sg_alloc_array(&net, 1, sizeof *net, "network", error);
    if (status != SG_OK) {
        sg_dense_plan_free(plan);
        return status;
    }
    *net    = (sg_net){.n_in        = sg_dense_n_in(plan),
                       .n_out       = sg_dense_n_out(plan),
                       .bits        = sg_dense_bits(plan),
                       .derivatives = 1,
                       .isa         = plan->isa,
                       .flops       = sg_dense_flops(plan),
                       .dense       = plan};
    *result = net;
    return SG_OK;
}

size_t      sg_net_n_in(const sg_net *net) { return net->n_in; }
size_t      sg_net_n_out(const sg_net *net) { return net->n_out; }
int         sg_net_bits(const sg_net *net) { return net->bits; }
const char *sg_net_isa(const sg_net *net) { return sg_cpu_isa_name(net->isa); }
double      sg_net_flops(const sg_net *net) { return net->flops; }
int         sg_net_is_fused(const sg_net *net) { return net->dense != NULL; }
int         sg_net_has_derivatives(const sg_net *net) { return net->dense || net->derivatives; }

size_t sg_net_workspace_bytes(const sg_net *net, sg_net_task task)
{
    if (net->dense)
        return task == SG_NET_EVAL ? sg_dense_workspace_bytes(net->dense) : sg_dense_derivative_bytes(net->dense);
    return sg_round_up(sg_plan_workspace_bytes(net->plan[task]), SG_ALIGNMENT) + net->row_bytes;
}

/* --------------------------------------------------------------------------------------------------------------------- runs */
/* Rows of one block of a threaded run. */
static size_t block_rows(const sg_net *net, sg_net_task task)
{
    return net->dense ? (size_t)4 * SG_DENSE_BLOCK : sg_plan_chunk_rows(net->plan[task]);
}

static size_t n_blocks(size_t n_rows, size_t block) { return n_rows / block + (n_rows % block != 0); }

int sg_net_threads(const sg_net *net, size_t n_rows, int num_threads)
{
    return sg_threads_resolve(num_threads, n_blocks(n_rows, block_rows(net, SG_NET_EVAL)));
}

typedef struct job {
    const sg_net *net;
    sg_net_task   task;
    size_t        n_rows, block;
    const void   *x, *d, *out;
    char         *workspace;
    size_t        workspace_bytes;
} job;

static void run_dense(const job *j, size_t first, size_t n_rows, int thread, char *workspace)
{
    const sg_dense_plan *plan = j->net->dense;
    if (j->task == SG_NET_EVAL)
        plan->kernels->eval(plan, first, n_rows, j->x, j->out, thread, workspace);
    else if (j->task == SG_NET_JVP)
        plan->kernels->jvp(plan, first, n_rows, j->x, j->d, j->out, thread, workspace);
    else
        plan->kernels->vjp(plan, first, n_rows, j->x, j->d, j->out, thread, workspace);
}

#define SG_NET_DEFINE(bits, real)                                                                                             \
    /* Row number row as n neighbours: where they are, or gathered into buffer. */                                            \
    static const real *row_f##bits(const sg_dense_input_f##bits *in, int thread, size_t row, size_t n, real *buffer)          \
    {                                                                                                                         \
        if (in->load) {                                                                                                       \
            in->load(in->context, thread, row, 1, buffer, 1);                                                                 \
            return buffer;                                                                                                    \
        }                                                                                                                     \
        const real *from = in->data + (ptrdiff_t)row * in->row_stride;                                                        \
        if (in->column_stride == 1)                                                                                           \
            return from;                                                                                                      \
        for (size_t k = 0; k < n; k++)                                                                                        \
            buffer[k] = from[(ptrdiff_t)k * in->column_stride];                                                               \
        return buffer;                                                                                                        \
    }                                                                                                                         \
    static void put_row_f##bits(const sg_dense_output_f##bits *out, int thread, size_t row, size_t n, const real *values)     \
    {                                                                                                                         \
        if (out->store) {                                                                                                     \
            out->store(out->context, thread, row, 1, values, 1);                                                              \
            return;                                                                                                           \
        }                                                                                                                     \
        real *to = out->data + (ptrdiff_t)row * out->row_stride;                                                              \
        if (out->column_stride == 1)                                                                                          \
            memcpy(to, values, n * sizeof *to);                                                                               \
        else                                                                                                                  \
            for (size_t k = 0; k < n; k++)                                                                                    \
                to[(ptrdiff_t)k * out->column_stride] = values[k];                                                            \
    }                                                                                                                         \
    /* Contiguous rows can be used where they are. */                                                                         \
    static int are_rows_f##bits(const sg_dense_input_f##bits *x, const sg_dense_output_f##bits *out, size_t n_in,             \
                                size_t n_out)                                                                                 \
    {                                                                                                                         \
        return !x->load && !out->store && x->column_stride == 1 && out->column_stride == 1 &&                                 \
               x->row_stride == (ptrdiff_t)n_in && out->row_stride == (ptrdiff_t)n_out;                                       \
    }                                                                                                                         \
    /* At most a chunk of rows of a plan. */                                                                                  \
    static void run_chunk_f##bits(const job *j, size_t first, size_t n_rows, int thread, char *workspace)                     \
    {                                                                                                                         \
        const sg_net                  *net    = j->net;                                                                       \
        const sg_plan                 *plan   = net->plan[j->task];                                                           \
        const void                    *packed = net->packed[j->task];                                                         \
        const sg_dense_output_f##bits *out    = j->out;                                                                       \
        real                          *buffer = (real *)(workspace + j->workspace_bytes - net->row_bytes), *result;           \
        const size_t                   n      = j->task == SG_NET_VJP ? net->n_in : net->n_out;                               \
        const sg_dense_input_f##bits *x = j->x;                                                                               \
        if (j->task == SG_NET_EVAL && sg_plan_takes_rows(plan) && are_rows_f##bits(x, out, net->n_in, net->n_out)) {          \
            sg_plan_forward_rows(plan, n_rows, x->data + first * net->n_in, out->data + first * net->n_out, net->parameters,  \
                                 packed, workspace);                                                                          \
            return;                                                                                                           \
        }                                                                                                                     \
        for (size_t i = 0; i < n_rows; i++)                                                                                   \
            sg_plan_set_input(plan, i, row_f##bits(j->x, thread, first + i, net->n_in, buffer), workspace);                   \
        switch (j->task) {                                                                                                    \
        case SG_NET_JVP:                                                                                                      \
            for (size_t i = 0; i < n_rows; i++)                                                                               \
                sg_plan_set_input_tangent(plan, i, row_f##bits(j->d, thread, first + i, net->n_in, buffer), workspace);       \
            sg_plan_tangent(plan, n_rows, net->parameters, packed, workspace);                                                \
            result = sg_plan_output_tangent(plan, workspace);                                                                 \
            break;                                                                                                            \
        case SG_NET_VJP:                                                                                                      \
            sg_plan_forward(plan, n_rows, net->parameters, packed, workspace, NULL);                                          \
            result = sg_plan_output_gradient(plan, workspace);                                                                \
            for (size_t i = 0; i < n_rows; i++)                                                                               \
                memcpy(result + i * net->n_out, row_f##bits(j->d, thread, first + i, net->n_out, buffer),                     \
                       net->n_out * sizeof *result);                                                                          \
            sg_plan_backward(plan, n_rows, net->parameters, packed, workspace, NULL, NULL, 0);                                \
            result = NULL;                                                                                                    \
            break;                                                                                                            \
        case SG_NET_EVAL:                                                                                                     \
        default:                                                                                                              \
            sg_plan_forward(plan, n_rows, net->parameters, packed, workspace, NULL);                                          \
            result = sg_plan_output(plan, workspace);                                                                         \
        }                                                                                                                     \
        for (size_t i = 0; i < n_rows; i++) {                                                                                 \
            const real *row = buffer;                                                                                         \
            if (result)                                                                                                       \
                row = result + i * net->n_out;                                                                                \
            else                                                                                                              \
                sg_plan_get_input_gradient(plan, i, workspace, buffer);                                                       \
            put_row_f##bits(out, thread, first + i, n, row);                                                                  \
        }                                                                                                                     \
    }                                                                                                                         \
    static int run_block_f##bits(void *context, size_t block, int thread)                                                     \
    {                                                                                                                         \
        const job   *j     = context;                                                                                         \
        const size_t first = block * j->block, left = j->n_rows - first, n = left < j->block ? left : j->block;               \
        char        *workspace = j->workspace + (size_t)thread * j->workspace_bytes;                                          \
        if (j->net->dense)                                                                                                    \
            run_dense(j, first, n, thread, workspace);                                                                        \
        else                                                                                                                  \
            run_chunk_f##bits(j, first, n, thread, workspace);                                                                \
        return 0;                                                                                                             \
    }                                                                                                                         \
    void sg_net_run_f##bits(const sg_net *net, sg_net_task task, size_t n_rows, const sg_dense_input_f##bits *x,              \
                            const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *out, void *workspace)             \
    {                                                                                                                         \
        job j = {net, task, n_rows, block_rows(net, task), x, d, out, workspace, sg_net_workspace_bytes(net, task)};          \
        if (net->dense)                                                                                                       \
            run_dense(&j, 0, n_rows, 0, workspace);                                                                           \
        else                                                                                                                  \
            for (size_t block = 0; block < n_blocks(n_rows, j.block); block++)                                                \
                run_block_f##bits(&j, block, 0);                                                                              \
    }                                                                                                                         \
    void sg_net_run_threads_f##bits(const sg_net *net, sg_net_task task, size_t n_rows, const sg_dense_input_f##bits *x,      \
                                    const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *out, int num_threads,     \
                                    void *workspace)                                                                          \
    {                                                                                                                         \
        job j = {net, task, n_rows, block_rows(net, task), x, d, out, workspace, sg_net_workspace_bytes(net, task)};          \
        sg_threads_blocks(n_blocks(n_rows, j.block), sg_net_threads(net, n_rows, num_threads), run_block_f##bits, &j);        \
    }

SG_NET_DEFINE(32, float)
SG_NET_DEFINE(64, double)
