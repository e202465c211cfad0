/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"

struct sg_graph {
    int         n_nodes;
    sg_node    *node;
    sg_op_site *site;
    size_t     *offset;      /* (n_nodes) of parameters, in elements                         */
    size_t     *x_offset;    /* (n_nodes) of an input node's part in the row, in elements    */
    int        *trainable;   /* (n_nodes) the node or one before it has parameters           */
    size_t      n_parameters, n_in;
};

void sg_graph_free(sg_graph *graph)
{
    if (!graph)
        return;
    sg_free(graph->node);
    sg_free(graph->site);
    sg_free(graph->offset);
    sg_free(graph->x_offset);
    sg_free(graph->trainable);
    sg_free(graph);
}

static sg_status place_node(sg_graph *graph, int i, sg_error *error)
{
    const sg_node *node = &graph->node[i];
    sg_op_site    *site = &graph->site[i];
    char           where[64];
    if ((unsigned)node->op >= SG_OP_COUNT)
        return sg_fail(error, SG_ERR_VALUE, "nodes", "node %d has the unknown operator %d", i, (int)node->op);
    site->op = sg_op_get(node->op);
    snprintf(where, sizeof where, "node %d (%s)", i, site->op->name);
    if (node->n_inputs < 0 || node->n_inputs > SG_OP_MAX_INPUTS)
        return sg_fail(error, SG_ERR_VALUE, where, "at most %d inputs, got %d", SG_OP_MAX_INPUTS, node->n_inputs);
    site->n_inputs = node->n_inputs;
    memcpy(site->attribute, node->attribute, sizeof site->attribute);
    for (int j = 0; j < node->n_inputs; j++) {
        int from = node->input[j];
        if (from < 0 || from >= i)
            return sg_fail(error, SG_ERR_VALUE, where, "inputs must be earlier nodes, got %d", from);
        site->in[j] = graph->site[from].out;
        graph->trainable[i] |= graph->trainable[from];
    }
    SG_TRY(sg_op_resolve(site, where, error));
    graph->offset[i] = graph->n_parameters;
    graph->n_parameters += site->parameter_size;
    graph->trainable[i] |= site->parameter_size > 0;
    if (node->op == SG_OP_input) {
        graph->x_offset[i] = graph->n_in;
        graph->n_in += site->out_size;
    }
    return SG_OK;
}

static sg_status check_all_used(const sg_graph *graph, sg_error *error)
{
    for (int i = 0; i < graph->n_nodes - 1; i++) {
        int used = 0;
        for (int j = i + 1; j < graph->n_nodes && !used; j++)
            for (int k = 0; k < graph->node[j].n_inputs; k++)
                used |= graph->node[j].input[k] == i;
        if (!used)
            return sg_fail(error, SG_ERR_VALUE, "nodes", "node %d (%s) is not used by any other", i, graph->site[i].op->name);
    }
    return SG_OK;
}

static sg_status build(sg_graph *graph, int n_nodes, const sg_node *nodes, sg_error *error)
{
    size_t n       = (size_t)n_nodes;
    graph->n_nodes = n_nodes;
    SG_TRY(sg_alloc_array(&graph->node, n, sizeof *graph->node, "nodes", error));
    SG_TRY(sg_alloc_array(&graph->site, n, sizeof *graph->site, "nodes", error));
    SG_TRY(sg_alloc_array(&graph->offset, n, sizeof *graph->offset, "nodes", error));
    SG_TRY(sg_alloc_array(&graph->x_offset, n, sizeof *graph->x_offset, "nodes", error));
    SG_TRY(sg_alloc_array(&graph->trainable, n, sizeof *graph->trainable, "nodes", error));
    memcpy(graph->node, nodes, n * sizeof *nodes);
    for (int i = 0; i < n_nodes; i++)
        SG_TRY(place_node(graph, i, error));
    if (graph->n_in == 0)
        return sg_fail(error, SG_ERR_VALUE, "nodes", "there is no input node");
    return check_all_used(graph, error);
}

sg_status sg_graph_create(int n_nodes, const sg_node *nodes, sg_graph **graph, sg_error *error)
{
    if (n_nodes < 2 || n_nodes > SG_GRAPH_MAX_NODES)
        return sg_fail(error, SG_ERR_VALUE, "nodes", "expected 2 to %d, got %d", SG_GRAPH_MAX_NODES, n_nodes);
    sg_graph *made;
    SG_TRY(sg_alloc_array(&made, 1, sizeof *made, "graph", error));
    sg_status status = build(made, n_nodes, nodes, error);
    if (status != SG_OK) {
        sg_graph_free(made);
        return status;
    }
    *graph = made;
    return SG_OK;
}

int               sg_graph_n_nodes(const sg_graph *graph) { return graph->n_nodes; }
const sg_node    *sg_graph_node(const sg_graph *graph, int node) { return &graph->node[node]; }
const sg_op_site *sg_graph_site(const sg_graph *graph, int node) { return &graph->site[node]; }
size_t            sg_graph_offset(const sg_graph *graph, int node) { return graph->offset[node]; }
size_t            sg_graph_n_parameters(const sg_graph *graph) { return graph->n_parameters; }
size_t            sg_graph_n_in(const sg_graph *graph) { return graph->n_in; }
size_t            sg_graph_n_out(const sg_graph *graph) { return graph->site[graph->n_nodes - 1].out_size; }

int sg_graph_flags(const sg_graph *graph)
{
    int flags = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        flags |= graph->site[i].op->flags;
    return flags;
}

double sg_graph_flops(const sg_graph *graph)
{
    double flops = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        flops += graph->site[i].flops;
    return flops;
}

/* -------------------------------------------------------------------------------------------------------- the plan */
/* A block of the workspace that is needed from one step to another: forward (and tangent) of node i is step i, the loss is step
 * n_nodes, backward of node i is step 2 n_nodes - i. */
typedef struct interval {
    size_t per_row;      /* elements                */
    size_t fixed;        /* elements, whatever the number of rows; both 0: not needed */
    int    first, last;  /* steps                   */
    size_t offset;       /* bytes in the workspace  */
    size_t bytes;
} interval;

struct sg_plan {
    const sg_graph       *graph;
    const sg_op_kernel  **kernel;         /* (n_nodes)                        */
    interval             *value;          /* (n_nodes) results                */
    interval             *saved;          /* (n_nodes) kept for backward      */
    interval             *gradient;       /* (n_nodes) of results; their derivatives in a tangent plan */
    interval             *scratch;        /* (n_nodes)                        */
    size_t               *packed_offset;  /* (n_nodes) bytes                  */
    size_t                real_bytes, chunk_rows, workspace_bytes, packed_bytes;
    sg_plan_mode          mode;
};

void sg_plan_free(sg_plan *plan)
{
    if (!plan)
        return;
    sg_free(plan->kernel);
    sg_free(plan->value);
    sg_free(plan->packed_offset);
    sg_free(plan);
}

static int later(int a, int b) { return a > b ? a : b; }

static int has_backward(const sg_plan *plan) { return plan->mode != SG_PLAN_INFER && plan->mode != SG_PLAN_TANGENT; }

static int wants_input_gradient(const sg_plan *plan)
{
    return plan->mode == SG_PLAN_TRAIN_INPUT || plan->mode == SG_PLAN_ADJOINT;
}

static int wants_gradient(const sg_plan *plan, int node) { return wants_input_gradient(plan) || plan->graph->trainable[node]; }

/* First and last step of every block. */
static void find_lifetimes(sg_plan *plan)
{
    const sg_graph *graph    = plan->graph;
    int             n        = graph->n_nodes;
    int             backward = has_backward(plan), tangent = plan->mode == SG_PLAN_TANGENT;
    for (int i = 0; i < n; i++) {
        const sg_op_site *site  = &graph->site[i];
        int               start = graph->node[i].op == SG_OP_input ? 0 : i; /* all inputs are set before the first step */
        int               own_backward = 2 * n - i;
        plan->value[i]   = (interval){.per_row = site->out_size, .first = start, .last = i};
        plan->scratch[i] = (interval){.per_row = site->scratch_per_row, .fixed = site->scratch_fixed, .first = i, .last = i};
        if (tangent) {
            plan->gradient[i] = (interval){.per_row = site->out_size, .first = start, .last = i};
            plan->saved[i]    = (interval){.per_row = site->saved_per_row, .first = i, .last = i};
        }
        if (!backward)
            continue;
        if (site->op->flags & SG_OP_BACKWARD_READS_OUTPUT)
            plan->value[i].last = own_backward;
        plan->saved[i]        = (interval){.per_row = site->saved_per_row, .first = i, .last = own_backward};
        plan->scratch[i].last = own_backward;
        if (wants_gradient(plan, i) || i == n - 1)
            plan->gradient[i] = (interval){.per_row = site->out_size, .first = own_backward, .last = own_backward};
    }
    for (int i = 0; i < n; i++) {
        const sg_node *node = &graph->node[i];
        int reads_input     = backward && (graph->site[i].op->flags & SG_OP_BACKWARD_READS_INPUT);
        for (int j = 0; j < node->n_inputs; j++) {
            interval *value = &plan->value[node->input[j]], *gradient = &plan->gradient[node->input[j]];
            value->last = later(value->last, reads_input ? 2 * n - i : i);
            if (tangent)
                gradient->last = later(gradient->last, i);
            else if (2 * n - i < gradient->first)
                gradient->first = 2 * n - i;
        }
    }
    plan->value[n - 1].last = later(plan->value[n - 1].last, n);
    if (tangent)
        plan->gradient[n - 1].last = n;
    else
        plan->gradient[n - 1].first = n;
    if (wants_input_gradient(plan)) /* read by the caller after the last step */
        for (int i = 0; i < n; i++)
            if (graph->node[i].op == SG_OP_input)
                plan->gradient[i].last = 2 * n + 1;
}

static int is_needed(const interval *block) { return block->per_row || block->fixed; }

/* Lowest offset at which a block overlaps no block that is alive at the same time. The list is short, so quadratic. */
static void place(interval *all, int block)
{
    interval *b = &all[block];
    size_t    offset = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (int i = 0; i < block; i++) {
            const interval *o = &all[i];
            if (is_needed(o) && o->first <= b->last && b->first <= o->last && o->offset < offset + b->bytes &&
                offset < o->offset + o->bytes) {
                offset = o->offset + o->bytes;
                moved  = 1;
            }
        }
    }
    b->offset = offset;
}

/* Sizes that add up to more than memory can address are refused before anything is allocated. */
static sg_status place_all(sg_plan *plan, sg_error *error)
{
    const int    n    = 4 * plan->graph->n_nodes;
    const size_t most = SIZE_MAX / 4 / (size_t)n, row = sg_size_mul(plan->chunk_rows, plan->real_bytes);
    for (int i = 0; i < n; i++) {
        interval *b = &plan->value[i];
        if (!is_needed(b))
            continue;
        const size_t rows = sg_size_mul(b->per_row, row), fixed = sg_size_mul(b->fixed, plan->real_bytes);
        if (rows > most || fixed > most)
            return sg_fail(error, SG_ERR_MEMORY, "workspace", "chunks of %zu rows are too large for the address space",
                           plan->chunk_rows);
        b->bytes = sg_round_up(rows + fixed, SG_ALIGNMENT);
        place(plan->value, i);
        if (b->offset + b->bytes > plan->workspace_bytes)
            plan->workspace_bytes = b->offset + b->bytes;
    }
    return SG_OK;
}

/* A chunk's values, gradients and saved blocks in about half of a 1 MiB L2, the rest being weights and their gradients. */
static size_t pick_chunk_rows(const sg_graph *graph, size_t real_bytes, size_t row_group)
{
    size_t per_row = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        per_row += 2 * graph->site[i].out_size + graph->site[i].saved_per_row;
    size_t rows = ((size_t)512 << 10) / (per_row * real_bytes + 1) / 24 * 24;
    rows        = rows < 24 ? 24 : rows > 72 ? 72 : rows;
    /* Rows that are whole fields: as many as keep the chunk at 2 MiB, but one at least. Of long sequences a step is in use at a
     * time, and its products need rows: with 2 instead of 24, LSTM(128) over 365 steps trains at 0.70 of peak instead of 0.78. */
    size_t fields = ((size_t)2 << 20) / (per_row * real_bytes + 1);
    if (!(sg_graph_flags(graph) & SG_OP_STEPS_THROUGH_ROWS))
        rows = rows < fields ? rows : fields;
    rows          = rows / row_group * row_group;
    return rows ? rows : row_group;
}

sg_status sg_plan_create(const sg_graph *graph, int bits, sg_plan_mode mode, size_t chunk_rows, size_t row_group,
                         sg_plan **result, sg_error *error)
{
    size_t   n = (size_t)graph->n_nodes;
    sg_plan *plan;
    SG_TRY(sg_alloc_array(&plan, 1, sizeof *plan, "plan", error));
    sg_status status = sg_alloc_array(&plan->kernel, n, sizeof *plan->kernel, "plan", error);
    if (status == SG_OK)
        status = sg_alloc_array(&plan->value, 4 * n, sizeof *plan->value, "plan", error);
    if (status == SG_OK)
        status = sg_alloc_array(&plan->packed_offset, n, sizeof *plan->packed_offset, "plan", error);
    if (status != SG_OK) {
        sg_plan_free(plan);
        return status;
    }
    plan->saved      = plan->value + n;
    plan->gradient   = plan->value + 2 * n;
    plan->scratch    = plan->value + 3 * n;
    plan->graph      = graph;
    plan->mode       = mode;
    plan->real_bytes = (size_t)bits / 8;
    plan->chunk_rows = chunk_rows ? chunk_rows : pick_chunk_rows(graph, plan->real_bytes, row_group);
    for (int i = 0; i < graph->n_nodes; i++) {
        plan->kernel[i]        = sg_op_kernels(graph->node[i].op, bits, sg_cpu_isa());
        plan->packed_offset[i] = plan->packed_bytes;
        size_t packed = has_backward(plan) ? graph->site[i].packed_size : graph->site[i].infer_packed_size;
        plan->packed_bytes += sg_round_up(sg_size_mul(packed, plan->real_bytes), SG_ALIGNMENT);
    }
    find_lifetimes(plan);
    status = place_all(plan, error);
    if (status != SG_OK) {
        sg_plan_free(plan);
        return status;
    }
    *result = plan;
    return SG_OK;
}

size_t sg_plan_chunk_rows(const sg_plan *plan) { return plan->chunk_rows; }
size_t sg_plan_workspace_bytes(const sg_plan *plan) { return plan->workspace_bytes; }
size_t sg_plan_packed_bytes(const sg_plan *plan) { return plan->packed_bytes; }

static void *at(void *workspace, const interval *block)
{
    return is_needed(block) ? (char *)workspace + block->offset : NULL;
}

void *sg_plan_output(const sg_plan *plan, void *workspace) { return at(workspace, &plan->value[plan->graph->n_nodes - 1]); }

void *sg_plan_output_gradient(const sg_plan *plan, void *workspace)
{
    return at(workspace, &plan->gradient[plan->graph->n_nodes - 1]);
}

void *sg_plan_output_tangent(const sg_plan *plan, void *workspace) { return sg_plan_output_gradient(plan, workspace); }

/* Copies a row into the blocks of the input nodes. */
static void set_row(const sg_plan *plan, const interval *blocks, size_t row, const void *x, void *workspace)
{
    const sg_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->node[i].op == SG_OP_input) {
            size_t bytes = graph->site[i].out_size * plan->real_bytes;
            memcpy((char *)at(workspace, &blocks[i]) + row * bytes, (const char *)x + graph->x_offset[i] * plan->real_bytes, bytes);
        }
}

void sg_plan_set_input(const sg_plan *plan, size_t row, const void *x, void *workspace)
{
    set_row(plan, plan->value, row, x, workspace);
}

void sg_plan_set_input_tangent(const sg_plan *plan, size_t row, const void *t_x, void *workspace)
{
    set_row(plan, plan->gradient, row, t_x, workspace);
}

void sg_plan_get_input_gradient(const sg_plan *plan, size_t row, const void *workspace, void *d_x)
{
    const sg_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->node[i].op == SG_OP_input) {
            size_t bytes = graph->site[i].out_size * plan->real_bytes;
            memcpy((char *)d_x + graph->x_offset[i] * plan->real_bytes,
                   (const char *)workspace + plan->gradient[i].offset + row * bytes, bytes);
        }
}

/* random NULL: not in training. */
static sg_op_call call_of(const sg_plan *plan, int i, size_t n_rows, const void *parameters, const void *packed, void *workspace,
                          const sg_op_random *random)
{
    const sg_graph *graph = plan->graph;
    sg_op_call      call  = {
              .site       = &graph->site[i],
              .mode       = plan->mode,
              .training   = random != NULL,
              .n_rows     = n_rows,
              .out        = workspace ? at(workspace, &plan->value[i]) : NULL,
              .parameters = (const char *)parameters + graph->offset[i] * plan->real_bytes,
              .packed     = (char *)(uintptr_t)packed + plan->packed_offset[i], /* only prepare, whose caller owns it, writes */
              .saved      = at(workspace, &plan->saved[i]),
              .scratch    = at(workspace, &plan->scratch[i]),
    };
    if (random) {
        call.random      = *random;
        call.random.node = (uint32_t)i;
    }
    for (int j = 0; j < graph->node[i].n_inputs && workspace; j++)
        call.in[j] = at(workspace, &plan->value[graph->node[i].input[j]]);
    return call;
}

void sg_plan_prepare(const sg_plan *plan, const void *parameters, void *packed)
{
    for (int i = 0; i < plan->graph->n_nodes; i++)
        if (plan->kernel[i] && plan->kernel[i]->prepare) {
            sg_op_call call = call_of(plan, i, 0, parameters, packed, NULL, NULL);
            plan->kernel[i]->prepare(&call);
        }
}

void sg_plan_forward(const sg_plan *plan, size_t n_rows, const void *parameters, const void *packed, void *workspace,
                     const sg_op_random *random)
{
    for (int i = 0; i < plan->graph->n_nodes; i++)
        if (plan->kernel[i]) {
            sg_op_call call = call_of(plan, i, n_rows, parameters, packed, workspace, random);
            plan->kernel[i]->forward(&call);
        }
}

int sg_plan_takes_rows(const sg_plan *plan)
{
    int n_inputs = 0;
    for (int i = 0; i < plan->graph->n_nodes; i++)
        n_inputs += plan->graph->node[i].op == SG_OP_input;
    return plan->mode == SG_PLAN_INFER && n_inputs == 1;
}

void sg_plan_forward_rows(const sg_plan *plan, size_t n_rows, const void *x, void *y, const void *parameters, const void *packed,
                          void *workspace)
{
    const sg_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_nodes; i++)
        if (plan->kernel[i]) {
            sg_op_call call = call_of(plan, i, n_rows, parameters, packed, workspace, NULL);
            for (int j = 0; j < graph->node[i].n_inputs; j++)
                if (graph->node[graph->node[i].input[j]].op == SG_OP_input)
                    call.in[j] = x;
            if (i == graph->n_nodes - 1)
                call.out = y;
            plan->kernel[i]->forward(&call);
        }
}

void sg_plan_tangent(const sg_plan *plan, size_t n_rows, const void *parameters, const void *packed, void *workspace)
{
    for (int i = 0; i < plan->graph->n_nodes; i++)
        if (plan->kernel[i]) {
            sg_op_call call = call_of(plan, i, n_rows, parameters, packed, workspace, NULL);
            plan->kernel[i]->forward(&call);
            for (int j = 0; j < plan->graph->node[i].n_inputs; j++)
                call.t_in[j] = at(workspace, &plan->gradient[plan->graph->node[i].input[j]]);
            call.t_out = at(workspace, &plan->gradient[i]);
            plan->kernel[i]->tangent(&call);
        }
}

void sg_plan_backward(const sg_plan *plan, size_t n_rows, const void *parameters, const void *packed, void *workspace,
                      const sg_op_random *random, void *d_parameters, int add)
{
    const sg_graph *graph = plan->graph;
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        if (!plan->kernel[i] || !wants_gradient(plan, i))
            continue;
        sg_op_call call     = call_of(plan, i, n_rows, parameters, packed, workspace, random);
        call.d_out          = at(workspace, &plan->gradient[i]);
        call.d_parameters   = d_parameters ? (char *)d_parameters + graph->offset[i] * plan->real_bytes : NULL;
        call.add_parameters = add;
        for (int j = 0; j < graph->node[i].n_inputs; j++) {
            int from = graph->node[i].input[j];
            if (!wants_gradient(plan, from))
                continue;
            /* The last user of a value runs backward first and writes its gradient, the others add to it. */
            call.d_in[j]   = at(workspace, &plan->gradient[from]);
            call.add_in[j] = plan->gradient[from].first < 2 * graph->n_nodes - i;
            for (int k = 0; k < j; k++)
                call.add_in[j] |= graph->node[i].input[k] == from;
        }
        plan->kernel[i]->backward(&call);
    }
}

/* ------------------------------------------------------------------------------------------------------ whole arrays */
typedef struct run {
    const sg_plan      *plan;
    const sg_op_random *random;
    size_t              n_rows;
    const char         *parameters, *x, *t_x, *d_y;
    char               *y, *t_y, *d_x, *d_parameters, *packed, *workspace;
} run;

/* The rows of a block and its thread's workspace, with the input rows in it. */
typedef struct block_rows {
    size_t       first, n;
    char        *workspace;
    sg_op_random random;
} block_rows;

static block_rows start_block(const run *r, size_t block, int thread)
{
    const sg_plan *plan   = r->plan;
    size_t         stride = plan->graph->n_in * plan->real_bytes;
    block_rows     b      = {.first = block * plan->chunk_rows, .workspace = r->workspace + (size_t)thread * plan->workspace_bytes};
    size_t         left   = r->n_rows - b.first;
    b.n                   = left < plan->chunk_rows ? left : plan->chunk_rows;
    if (r->random) {
        b.random           = *r->random;
        b.random.first_row = b.first;
    }
    for (size_t i = 0; i < b.n; i++)
        sg_plan_set_input(plan, i, r->x + (b.first + i) * stride, b.workspace);
    return b;
}

static int forward_block(void *context, size_t block, int thread)
{
    const run       *r      = context;
    const block_rows b      = start_block(r, block, thread);
    size_t           stride = sg_graph_n_out(r->plan->graph) * r->plan->real_bytes;
    sg_plan_forward(r->plan, b.n, r->parameters, r->packed, b.workspace, r->random ? &b.random : NULL);
    memcpy(r->y + b.first * stride, sg_plan_output(r->plan, b.workspace), b.n * stride);
    return 0;
}

static int tangent_block(void *context, size_t block, int thread)
{
    const run       *r         = context;
    const block_rows b         = start_block(r, block, thread);
    size_t           in_stride = r->plan->graph->n_in * r->plan->real_bytes;
    size_t           stride    = sg_graph_n_out(r->plan->graph) * r->plan->real_bytes;
    for (size_t i = 0; i < b.n; i++)
        sg_plan_set_input_tangent(r->plan, i, r->t_x + (b.first + i) * in_stride, b.workspace);
    sg_plan_tangent(r->plan, b.n, r->parameters, r->packed, b.workspace);
    memcpy(r->y + b.first * stride, sg_plan_output(r->plan, b.workspace), b.n * stride);
    memcpy(r->t_y + b.first * stride, sg_plan_output_tangent(r->plan, b.workspace), b.n * stride);
    return 0;
}

static int backward_block(void *context, size_t block, int thread)
{
    const run       *r         = context;
    const block_rows b         = start_block(r, block, thread);
    size_t           in_stride = r->plan->graph->n_in * r->plan->real_bytes;
    size_t           stride    = sg_graph_n_out(r->plan->graph) * r->plan->real_bytes;
    const sg_op_random *random = r->random ? &b.random : NULL;
    sg_plan_forward(r->plan, b.n, r->parameters, r->packed, b.workspace, random);
    memcpy(sg_plan_output_gradient(r->plan, b.workspace), r->d_y + b.first * stride, b.n * stride);
    sg_plan_backward(r->plan, b.n, r->parameters, r->packed, b.workspace, random, r->d_parameters, 1);
    for (size_t i = 0; i < b.n && r->d_x; i++)
        sg_plan_get_input_gradient(r->plan, i, b.workspace, r->d_x + (b.first + i) * in_stride);
    return 0;
}

/* Runs block after block of the rows. In training, operators that couple rows get all of them in one block. */
static sg_status run_blocks(run *r, const sg_graph *graph, int bits, sg_plan_mode mode, int num_threads,
                            int (*block)(void *context, size_t block, int thread), sg_error *error)
{
    if (r->n_rows == 0)
        return SG_OK;
    sg_plan  *plan      = NULL;
    size_t    chunk     = r->random && sg_graph_flags(graph) & SG_OP_COUPLES_ROWS ? r->n_rows : 0;
    int       n_threads = sg_threads_resolve(num_threads, r->n_rows);
    sg_status status    = sg_plan_create(graph, bits, mode, chunk, 1, &plan, error);
    if (status == SG_OK)
        status = sg_alloc_array(&r->packed, plan->packed_bytes, 1, "packed parameters", error);
    if (status == SG_OK)
        status = sg_alloc_array(&r->workspace, (size_t)n_threads, plan->workspace_bytes, "workspace", error);
    if (status == SG_OK) {
        r->plan = plan;
        sg_plan_prepare(plan, r->parameters, r->packed);
        sg_threads_blocks((r->n_rows + plan->chunk_rows - 1) / plan->chunk_rows, n_threads, block, r);
    }
    sg_free(r->workspace);
    sg_free(r->packed);
    sg_plan_free(plan);
    return status;
}

sg_status sg_graph_forward(const sg_graph *graph, int bits, size_t n_rows, const void *parameters, const void *x, void *y,
                           const sg_op_random *random, int num_threads, sg_error *error)
{
    run r = {.n_rows = n_rows, .random = random, .parameters = parameters, .x = x, .y = y};
    return run_blocks(&r, graph, bits, random ? SG_PLAN_TRAIN : SG_PLAN_INFER, num_threads, forward_block, error);
}

sg_status sg_graph_tangent(const sg_graph *graph, int bits, size_t n_rows, const void *parameters, const void *x, const void *t_x,
                           void *y, void *t_y, int num_threads, sg_error *error)
{
    run r = {.n_rows = n_rows, .parameters = parameters, .x = x, .t_x = t_x, .y = y, .t_y = t_y};
    return run_blocks(&r, graph, bits, SG_PLAN_TANGENT, num_threads, tangent_block, error);
}

sg_status sg_graph_backward(const sg_graph *graph, int bits, size_t n_rows, const void *parameters, const void *x,
                            const void *d_y, void *d_parameters, void *d_x, const sg_op_random *random, int num_threads,
                            sg_error *error)
{
    run r = {.n_rows = n_rows, .random = random, .parameters = parameters, .x = x, .d_y = d_y, .d_x = d_x,
             .d_parameters = d_parameters};
    if (!d_parameters) /* rows are independent */
        return run_blocks(&r, graph, bits, SG_PLAN_ADJOINT, num_threads, backward_block, error);
    memset(d_parameters, 0, graph->n_parameters * (size_t)bits / 8);
    return run_blocks(&r, graph, bits, d_x ? SG_PLAN_TRAIN_INPUT : SG_PLAN_TRAIN, 1, backward_block, error);
}
